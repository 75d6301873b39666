// One line of news at the foot of the page; it moves nothing, and goes away unless it offers something.

const STAYS_MS = 7000;
let timer = null;

/** Say something; `offer` is `{ words, work }` of a button beside it, for as long as the line stands there. */
export function toast(text, offer = null) {
  const line = document.getElementById("toast");
  if (!line) return;
  clearTimeout(timer);
  const children = [Object.assign(document.createElement("span"), { textContent: text })];
  if (offer) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: offer.words });
    button.addEventListener("click", () => {
      line.hidden = true;
      offer.work();
    });
    children.push(button);
  }
  const away = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
  away.setAttribute("aria-label", "Close");
  away.addEventListener("click", () => (line.hidden = true));
  line.replaceChildren(...children, away);
  line.hidden = false;
  if (!offer) timer = setTimeout(() => (line.hidden = true), STAYS_MS);
}
