// Controls of a run's page: the slider, the choice of four classes, the search for a class, buttons and keys.

import { LAYERS } from "../core/constants.mjs";
import { createElement, isTyping, runShortcut } from "../core/dom.mjs";
import { LARGE_STEP, SPEEDS } from "../model/playback.mjs";
import { extendsSelection } from "../scene/camera.mjs";

/** Create the slider over captures. */
export function createSlider(page) {
  const slider = createElement("input", { type: "range", min: 0, max: 0, value: 0, step: 1, "aria-label": "Epoch" });
  slider.addEventListener("input", () => page.playback.seek(Number(slider.value), page.hasEnded));
  page.part("slider").replaceChildren(slider);
  return slider;
}

/** Create the four lists of classes that the tetrahedron shows. */
export function createClassSelects(page) {
  const selects = [0, 1, 2, 3].map((i) => {
    const options = page.names.map((name, label) => new Option(name, label));
    const select = createElement("select", { "aria-label": `Class ${i + 1} of the tetrahedron` }, options);
    select.addEventListener("change", () => {
      const classes = [...page.scene.tetrahedronClasses];
      const label = Number(select.value);
      const other = classes.indexOf(label);
      if (other >= 0) classes[other] = classes[i]; // the two classes change places
      classes[i] = label;
      page.scene.setView("tetrahedron", classes);
      for (const [j, each] of selects.entries()) each.value = String(classes[j]);
      page.playback.refresh();
      page.writeUrl({ addEntry: true });
    });
    return select;
  });
  page.part("tetrahedron-classes")?.replaceChildren(...selects);
  return selects;
}

/** Create the search for a class by name, where classes are too many for a legend. */
export function createClassSearch(page) {
  const place = page.part("class-search");
  if (!place) return;
  const input = createElement("input", { type: "search", placeholder: "Search classes", "aria-label": "Search classes" });
  input.setAttribute("list", place.dataset.list);
  input.addEventListener("change", () => {
    const label = page.names.indexOf(input.value);
    if (label >= 0) page.pin(label);
    else if (input.value === "") page.pin(null);
  });
  place.replaceChildren(input);
}

/** Listen to the page's buttons, to hovered classes and to the keyboard. */
export function bindControls(page, signal) {
  const { root } = page;
  const classUnder = (element) => element?.closest?.("[data-class]");
  root.addEventListener("click", (event) => onClick(page, event), { signal });
  root.addEventListener("pointerover", ({ target }) => {
    const item = classUnder(target);
    if (item) page.highlight([Number(item.dataset.class)]);
  }, { signal });
  root.addEventListener("pointerout", ({ target, relatedTarget }) => {
    if (classUnder(target) && !classUnder(relatedTarget)) page.highlight([]);
  }, { signal });
  document.addEventListener("keydown", (event) => onKey(page, event), { signal });
}

/** What the buttons with a `data-part` do. */
const PART_ACTIONS = {
  play: (page) => page.playback.togglePlay(page.hasEnded),
  follow: (page) => page.goToLatest(),
  speed: (page, button) => {
    const { playback } = page;
    playback.speed = SPEEDS[(SPEEDS.indexOf(playback.speed) + 1) % SPEEDS.length];
    button.textContent = `${playback.speed === 0.5 ? "½" : playback.speed}×`;
  },
  loop: (page, button) => {
    page.playback.isLooping = !page.playback.isLooping;
    button.setAttribute("aria-pressed", String(page.playback.isLooping));
  },
};

function onClick(page, event) {
  const button = event.target.closest("button");
  if (!button) return;
  const { layer, unit, group, part, mode, tab, action, class: label } = button.dataset;
  if (action) page.requestAction(button);
  else if (layer) {
    page.toggleLayer(layer);
    page.writeUrl();
  } else if (unit) page.chooseUnit(unit);
  else if (group) page.curves.chooseGroup(Number(group), { byUser: true });
  else if (mode !== undefined) page.chooseMode(mode);
  else if (tab) {
    page.details.open(tab);
    page.writeUrl({ addEntry: true });
  } else if (label) page.pin(Number(label), extendsSelection(event));
  else PART_ACTIONS[part]?.(page, button);
}

function onKey(page, event) {
  if (isTyping(event)) return;
  const { playback, hasEnded } = page;
  const step = (count) => playback.seek(playback.selectedIndex + count, hasEnded);
  const distance = event.shiftKey ? LARGE_STEP : 1;
  const modes = [...page.root.querySelectorAll("button[data-mode]")].filter((button) => !button.hidden);
  const actions = {
    " ": () => playback.togglePlay(hasEnded), ArrowLeft: () => step(-distance), ArrowRight: () => step(distance),
    Home: () => playback.seek(0, hasEnded), End: () => page.goToLatest(),
    e: () => document.getElementById("export-open")?.click(), Escape: () => page.pin(null),
    ...Object.fromEntries(modes.map((button, i) => [String(i + 1), () => page.chooseMode(button.dataset.mode)])),
    ...Object.fromEntries(LAYERS.map(({ id, shortcut }) => [shortcut, () => {
      page.toggleLayer(id);
      page.writeUrl();
    }])),
  };
  runShortcut(event, actions);
}
