// Completions of the filter language: fields, then the values that a field has.

const MAX_OPTIONS = 8;
const CHANGE_DELAY_MS = 300;
const TERM = /(?:"[^"]*"?|[^\s"])*$/;
const PAIR = /^(-?)([A-Za-z_][\w.]*)(!=|<=|>=|[:=<>])(.*)$/;

/**
 * Return the completions of the term before the caret.
 * @param {{fields: {name: string, help: string, sign: string}[], values: Object<string, string[]>}} vocabulary
 * @returns {{from: number, options: {text: string, help: string}[]}} `from` is the index that an option's text replaces from
 */
export function complete(text, caret, vocabulary) {
  const term = TERM.exec(text.slice(0, caret))[0];
  const pair = PAIR.exec(term);
  if (pair) {
    const [, negation, field, sign, start] = pair;
    const known = vocabulary.values[field] ?? [];
    const word = start.replaceAll('"', "").toLowerCase();
    const options = known.filter((value) => value.toLowerCase().includes(word) && value !== start)
      .sort((a, b) => Number(b.toLowerCase().startsWith(word)) - Number(a.toLowerCase().startsWith(word)))
      .map((value) => ({ text: `${negation}${field}${sign}${/\s/.test(value) ? `"${value}"` : value} `, help: "" }));
    return { from: caret - term.length, options: options.slice(0, MAX_OPTIONS) };
  }
  const negation = term.startsWith("-") ? "-" : "";
  const word = term.slice(negation.length).toLowerCase();
  const prefixed = vocabulary.fields.filter(({ name }) => name.toLowerCase().startsWith(word));
  const containing = word.length < 2 ? [] : vocabulary.fields.filter(({ name }) => !name.toLowerCase().startsWith(word) && name.toLowerCase().includes(word));
  const options = [...prefixed, ...containing].slice(0, MAX_OPTIONS).map(({ name, help, sign }) => ({ text: `${negation}${name}${sign}`, help }));
  return { from: caret - term.length, options };
}

/** A text input with a list of completions: arrows select, Tab or Enter accepts, Escape closes. */
export class CompletionInput {
  /** @param {(text: string) => void} onChange called when typing pauses, and at once on Enter */
  constructor(input, list, vocabulary, onChange) {
    Object.assign(this, { input, list, vocabulary, onChange, options: [], selected: -1 });
    input.addEventListener("input", () => this.onInput());
    input.addEventListener("focus", () => this.update());
    input.addEventListener("click", () => this.update());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.onKey(event));
    list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.accept(Number(option.dataset.index));
    });
  }

  onInput() {
    this.update();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.onChange(this.input.value), CHANGE_DELAY_MS);
  }

  update() {
    const { from, options } = complete(this.input.value, this.input.selectionStart, this.vocabulary);
    Object.assign(this, { from, options, selected: -1 });
    this.draw();
  }

  draw() {
    this.list.replaceChildren(...this.options.map(({ text, help }, i) => {
      const option = document.createElement("li");
      Object.assign(option, { id: `${this.list.id}-${i}`, role: "option" });
      option.dataset.index = i;
      option.setAttribute("aria-selected", String(i === this.selected));
      option.append(Object.assign(document.createElement("b"), { textContent: text.trim() }), help);
      return option;
    }));
    const open = this.options.length > 0 && document.activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
    if (open && this.selected >= 0) this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.selected}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  accept(index) {
    const { text } = this.options[index];
    const rest = this.input.value.slice(this.input.selectionStart);
    const before = this.input.value.slice(0, this.from) + text;
    this.input.value = before + rest.trimStart();
    this.input.setSelectionRange(before.length, before.length);
    this.onInput();
  }

  close() {
    this.options = [];
    this.draw();
  }

  onKey(event) {
    const { length } = this.options;
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && length) {
      event.preventDefault();
      this.selected = event.key === "ArrowDown" ? (this.selected + 1) % length : (this.selected <= 0 ? length : this.selected) - 1;
      this.draw();
    } else if ((event.key === "Enter" || event.key === "Tab") && this.selected >= 0) {
      event.preventDefault();
      this.accept(this.selected);
    } else if (event.key === "Enter") {
      clearTimeout(this.timer);
      this.close();
      this.onChange(this.input.value);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (length) this.close();
      else this.input.blur();
    }
  }
}
