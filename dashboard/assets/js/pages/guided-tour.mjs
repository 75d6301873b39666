// Leads through a run's page, part by part; once, unless it is asked for again.

const KEPT = "collapse-lab toured";

export class GuidedTour {
  constructor() {
    this.at = -1;
    document.addEventListener("click", (event) => {
      const { tour } = event.target.closest("[data-tour]")?.dataset ?? {};
      if (tour === "next") this.go(this.at + 1);
      else if (tour === "back") this.go(this.at - 1);
      else if (tour === "end") this.end();
      else if (tour === "begin") this.begin();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.at >= 0) this.end();
    });
  }

  get panel() {
    return document.getElementById("tour");
  }

  /** A run's page has come: begin by itself on the demonstration's, where nobody has ended it yet. */
  offer(root) {
    if (root.dataset.demonstration === "true" && !window.localStorage.getItem(KEPT)) this.go(0);
  }

  /** The page is gone. */
  leave() {
    this.frame(null);
    this.at = -1;
    if (this.panel) this.panel.hidden = true;
  }

  begin() {
    document.getElementById("help")?.close();
    if (document.getElementById("run-page")) this.go(0);
  }

  end() {
    window.localStorage.setItem(KEPT, "yes");
    this.leave();
  }

  go(index) {
    const steps = JSON.parse(this.panel.dataset.steps);
    if (index >= steps.length) {
      this.end();
      return;
    }
    this.at = Math.max(0, index);
    const { part, title, words } = steps[this.at];
    const say = (name, text) => (this.panel.querySelector(`[data-tour="${name}"]`).textContent = text);
    say("title", title);
    say("words", words);
    say("place", `${this.at + 1} of ${steps.length}`);
    say("next", this.at + 1 === steps.length ? "Done" : "Next");
    this.panel.querySelector('[data-tour="back"]').disabled = this.at === 0;
    this.panel.hidden = false;
    const framed = document.querySelector(`#run-page [data-part="${part}"]`);
    this.frame(framed);
    if (this.at > 0) framed?.scrollIntoView({ block: "nearest" });
  }

  frame(part) {
    this.framed?.classList.remove("toured");
    this.framed = part;
    part?.classList.add("toured");
  }
}
