// Clientside callbacks: what a click changes in the browser alone.

window.dash_clientside = Object.assign({}, window.dash_clientside, {
  collapse: {
    openExport(clicks, closed) {
      if (closed && window.dash_clientside.callback_context.triggered_id === "export-close") return [false, window.dash_clientside.no_update];
      if (!clicks) return [window.dash_clientside.no_update, window.dash_clientside.no_update];
      const name = () => {
        // Mantine names a dialog after its own header alone, which would be a second banner of the page.
        const dialog = document.querySelector("section[role=dialog]");
        if (dialog) dialog.setAttribute("aria-label", "Export figure");
        else requestAnimationFrame(name);
      };
      requestAnimationFrame(name);
      return [true, window.collapseLab?.moment() ?? {}];
    },
    whereAmI(path) {
      return ["/runs", "/new", "/compare", "/system"].map((page) => {
        const here = path?.startsWith(page) || (page === "/runs" && path === "/");
        return here ? "nav-link here" : "nav-link";
      });
    },
    async logOut(clicks) {
      if (!clicks) return window.dash_clientside.no_update;
      await fetch("/api/v1/logout", { method: "POST" });
      // The page itself says that it needs a token again.
      window.location.assign("/");
      return true;
    },
    toggleScheme() {
      return document.documentElement.dataset.mantineColorScheme === "dark" ? "light" : "dark";
    },
    applyScheme(scheme) {
      return scheme ?? undefined;
    },
  },
});
