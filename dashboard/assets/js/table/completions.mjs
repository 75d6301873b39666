// Completions of the filter language: fields, then the values that a field has.

const MOST = 8;
const TERM = /(?:"[^"]*"?|[^\s"])*$/;
const PAIR = /^(-?)([A-Za-z_][\w.]*)(!=|<=|>=|[:=<>])(.*)$/;

/**
 * What may follow what is typed before the caret: `{ from, options: [{ text, help }] }`, `from` where an option's text
 * begins. `vocabulary` has `fields: [{ name, help, sign }]` and `values: { field: [text] }`.
 */
export function complete(text, caret, vocabulary) {
  const typed = TERM.exec(text.slice(0, caret))[0];
  const pair = PAIR.exec(typed);
  if (pair) {
    const [, no, field, sign, begun] = pair;
    const known = vocabulary.values[field] ?? [];
    const word = begun.replaceAll('"', "").toLowerCase();
    const options = known.filter((value) => value.toLowerCase().includes(word) && value !== begun)
      .sort((a, b) => Number(b.toLowerCase().startsWith(word)) - Number(a.toLowerCase().startsWith(word)))
      .map((value) => ({ text: `${no}${field}${sign}${/\s/.test(value) ? `"${value}"` : value} `, help: "" }));
    return { from: caret - typed.length, options: options.slice(0, MOST) };
  }
  const no = typed.startsWith("-") ? "-" : "";
  const word = typed.slice(no.length).toLowerCase();
  const begins = vocabulary.fields.filter(({ name }) => name.toLowerCase().startsWith(word));
  const holds = word.length < 2 ? [] : vocabulary.fields.filter(({ name }) => !name.toLowerCase().startsWith(word) && name.toLowerCase().includes(word));
  const options = [...begins, ...holds].slice(0, MOST).map(({ name, help, sign }) => ({ text: `${no}${name}${sign}`, help }));
  return { from: caret - typed.length, options };
}

/** A text input with its completions in a list below: arrows choose, Tab or Enter takes, Escape closes. */
export class Completed {
  /** `changed(text)` is called when what is typed rests, and at once with Enter. */
  constructor(input, list, vocabulary, changed) {
    Object.assign(this, { input, list, vocabulary, changed, options: [], at: -1 });
    input.addEventListener("input", () => this.typed());
    input.addEventListener("focus", () => this.offer());
    input.addEventListener("click", () => this.offer());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.take(Number(option.dataset.index));
    });
  }

  typed() {
    this.offer();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.changed(this.input.value), 300);
  }

  offer() {
    const { from, options } = complete(this.input.value, this.input.selectionStart, this.vocabulary);
    Object.assign(this, { from, options, at: -1 });
    this.draw();
  }

  draw() {
    this.list.replaceChildren(...this.options.map(({ text, help }, i) => {
      const option = document.createElement("li");
      Object.assign(option, { id: `${this.list.id}-${i}`, role: "option" });
      option.dataset.index = i;
      option.setAttribute("aria-selected", String(i === this.at));
      option.append(Object.assign(document.createElement("b"), { textContent: text.trim() }), help);
      return option;
    }));
    const open = this.options.length > 0 && document.activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (open && this.at >= 0) this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  take(index) {
    const { text } = this.options[index];
    const rest = this.input.value.slice(this.input.selectionStart);
    const before = this.input.value.slice(0, this.from) + text;
    this.input.value = before + rest.trimStart();
    this.input.setSelectionRange(before.length, before.length);
    this.typed();
  }

  close() {
    this.options = [];
    this.draw();
  }

  key(event) {
    const { length } = this.options;
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && length) {
      event.preventDefault();
      this.at = event.key === "ArrowDown" ? (this.at + 1) % length : (this.at <= 0 ? length : this.at) - 1;
      this.draw();
    } else if ((event.key === "Enter" || event.key === "Tab") && this.at >= 0) {
      event.preventDefault();
      this.take(this.at);
    } else if (event.key === "Enter") {
      clearTimeout(this.timer);
      this.close();
      this.changed(this.input.value);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (length) this.close();
      else this.input.blur();
    }
  }
}
