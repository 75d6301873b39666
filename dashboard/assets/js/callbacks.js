// Dash's clientside callbacks.

window.dash_clientside = Object.assign({}, window.dash_clientside, {
  collapse: {
    /** Open or close the export dialog; it opens with the state of the page's view. */
    openExport(openClicks, closeClicks) {
      const { no_update: unchanged, callback_context: context } = window.dash_clientside;
      if (closeClicks && context.triggered_id === "export-close") return [false, unchanged];
      if (!openClicks) return [unchanged, unchanged];
      const labelDialog = () => {
        // Mantine labels a dialog by its own header alone, which we replace.
        const dialog = document.querySelector("section[role=dialog]");
        if (dialog) dialog.setAttribute("aria-label", "Export figure");
        else requestAnimationFrame(labelDialog);
      };
      requestAnimationFrame(labelDialog);
      return [true, window.collapseLab?.viewState() ?? {}];
    },
    /** Mark the navigation link of the current page. */
    updateNavigation(path) {
      return ["/runs", "/new", "/compare", "/system"].map((page) => {
        const isCurrent = path?.startsWith(page) || (page === "/runs" && path === "/");
        return isCurrent ? "nav-link current" : "nav-link";
      });
    },
    /** Set the title of the browser's tab. */
    updateTitle(title) {
      if (title) document.title = title;
    },
    /** End the session; the page that follows asks for a token. */
    async logOut(clicks) {
      if (!clicks) return window.dash_clientside.no_update;
      await fetch("/api/v1/logout", { method: "POST" });
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
