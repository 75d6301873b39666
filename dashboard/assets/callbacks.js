// Clientside callbacks: what a click changes in the browser alone.

window.dash_clientside = Object.assign({}, window.dash_clientside, {
  collapse: {
    openExport(clicks) {
      if (!clicks) return [window.dash_clientside.no_update, window.dash_clientside.no_update];
      return [true, window.collapseLab?.moment() ?? {}];
    },
    whereAmI(path) {
      return ["/runs", "/new", "/compare", "/system"].map((page) => {
        const here = path?.startsWith(page) || (page === "/runs" && path === "/");
        return here ? "nav-link here" : "nav-link";
      });
    },
    toggleScheme() {
      return document.documentElement.dataset.mantineColorScheme === "dark" ? "light" : "dark";
    },
    applyScheme(scheme) {
      return scheme ?? undefined;
    },
  },
});
