// The guided tour of a run's page. It starts by itself on the demonstration's page, until somebody ends it.

const STORAGE_KEY = "collapse-lab toured";

/** The panel that explains one part of the page after the other. */
export class GuidedTour {
  constructor() {
    this.stepIndex = -1;
    const actions = { next: () => this.show(this.stepIndex + 1), back: () => this.show(this.stepIndex - 1), end: () => this.end(), begin: () => this.begin() };
    document.addEventListener("click", (event) => actions[event.target.closest("[data-tour]")?.dataset.tour]?.());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.stepIndex >= 0) this.end();
    });
  }

  get panel() {
    return document.getElementById("tour");
  }

  /** Start on the demonstration's page, unless the tour was ended before. */
  offer(root) {
    if (root.dataset.demonstration === "true" && !window.localStorage.getItem(STORAGE_KEY)) this.show(0);
  }

  /** Start on request; nothing happens on other pages. */
  begin() {
    document.getElementById("help")?.close();
    if (document.getElementById("run-page")) this.show(0);
  }

  /** End the tour and do not start it by itself again. */
  end() {
    window.localStorage.setItem(STORAGE_KEY, "yes");
    this.hide();
  }

  hide() {
    this.outline(null);
    this.stepIndex = -1;
    if (this.panel) this.panel.hidden = true;
  }

  show(index) {
    const steps = JSON.parse(this.panel.dataset.steps);
    if (index >= steps.length) {
      this.end();
      return;
    }
    this.stepIndex = Math.max(0, index);
    const { part, title, text } = steps[this.stepIndex];
    const find = (name) => this.panel.querySelector(`[data-tour="${name}"]`);
    find("title").textContent = title;
    find("text").textContent = text;
    find("position").textContent = `${this.stepIndex + 1} of ${steps.length}`;
    find("next").textContent = this.stepIndex + 1 === steps.length ? "Done" : "Next";
    find("back").disabled = this.stepIndex === 0;
    this.panel.hidden = false;
    const target = document.querySelector(`#run-page [data-part="${part}"]`);
    this.outline(target);
    if (this.stepIndex > 0) target?.scrollIntoView({ block: "nearest" });
  }

  outline(element) {
    this.outlined?.classList.remove("toured");
    this.outlined = element;
    element?.classList.add("toured");
  }
}
