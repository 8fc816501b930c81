// Two or more faces under one camera: beside each other, as differences, in turns, half and half.

const MODES = { side_by_side: "Side by side", difference: "Difference", flicker: "Flicker", wipe: "Wipe" };
const TURN_MS = 700;  // well below three changes a second, which could harm some readers

function openComparison(model, el, payload) {
  const meshes = payload.faces.map((face) => new Mesh({ ...payload.common, ...face }));
  const names = payload.faces.map((face) => face.title);
  const map = { ...payload.map, live: false, values: null };
  const camera = new Camera();
  camera.look(model.get("camera"));
  const row = make("div", { class: "v2m-row" });
  const bar = make("div", { class: "v2m-tools", role: "toolbar", "aria-label": "Comparison" });
  const frame = make("div", { class: "v2m v2m-compare", "data-lm-suppress-shortcuts": "true" });
  const legend = legendOf(payload.map), below = make("div");
  if (model.get("title")) frame.append(make("div", { class: "v2m-title" }, model.get("title")));
  frame.append(bar, row, legend, below);
  el.append(frame);
  let panels = [], timer = 0, playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const tell = (name, value) => { model.set(name, value); model.save_changes(); };

  const buttons = Object.entries(MODES).map(([mode, label]) => {
    const one = button(label, `${label} of the faces`, () => tell("mode", mode), false);
    one.dataset.mode = mode;
    return one;
  });
  const choice = make("select", { "aria-label": `Face beside ${names[0]}`, onchange: () => tell("shown", choice.value) },
    ...names.slice(1).map((name) => make("option", { value: name }, name)));
  const knob = make("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": `Share of ${names[0]} in the picture`,
    oninput: () => tell("wipe", +knob.value), onkeydown: (event) => event.stopPropagation() });
  const pause = button("Pause", "Pause or go on", () => { playing = !playing; turn(); });
  bar.append(...buttons, choice, knob, pause);

  const second = () => Math.max(1, names.indexOf(model.get("shown")));
  const single = () => ["flicker", "wipe"].includes(model.get("mode"));
  const show = () => {
    const mode = model.get("mode");
    clearInterval(timer);
    panels.forEach((one) => one.close());
    row.replaceChildren();
    below.replaceChildren();
    legend.hidden = mode !== "difference";
    Object.assign(row.style, single() ? { maxWidth: "720px", margin: "0 auto" } : { maxWidth: "", margin: "" });
    const add = (mesh, title, caption, scalars, tools) => {
      const cell = make("div", { class: "v2m-cell" });
      row.append(cell);
      const one = panel(cell, mesh, { title, caption, camera, tools, height: model.get("height"),
        theme: model.get("theme"), settings: { scalars, barless: true }, toolsIn: below,
        // The first face's tools act on all.
        onsetting: (name, value) => panels.slice(1).forEach((other) => other.change?.(name, value)),
        ontheme: (chosen) => tell("theme", chosen),
        oncamera: (preset) => tell("camera", preset) });
      panels.push(one);
      return one;
    };
    panels = [];
    if (single()) add(meshes[0], " ", "", null, true);
    else meshes.forEach((mesh, k) => {
      const painted = mode === "difference" && k > 0;
      add(mesh, names[k], painted ? payload.faces[k].summary : "", painted ? map : null, k === 0);
    });
    for (const one of buttons) one.setAttribute("aria-pressed", one.dataset.mode === mode);
    choice.hidden = !single() || names.length < 3;
    knob.hidden = mode !== "wipe";
    pause.hidden = mode !== "flicker";
    dress();
    update();
    turn();
  };
  const update = () => {
    const view = panels[0]?.view;
    if (!view || !single()) return;
    choice.value = names[second()];
    knob.value = model.get("wipe");
    camera.include(meshes[second()].bounds());
    view.other = meshes[second()];
    if (model.get("mode") === "wipe") split(1 - model.get("wipe"));
    else split(view.settings.split > 0.5 ? 1 : 0);
  };
  const split = (share) => {
    const { view, frame: box } = panels[0];
    view.settings.split = share;
    const pair = [names[0], names[second()]];
    box.querySelector(".v2m-title").textContent = share === 0 ? pair[0] : share === 1 ? pair[1] : `${pair[0]} | ${pair[1]}`;
    view.redraw();
  };
  const turn = () => {
    clearInterval(timer);
    pause.textContent = playing ? "Pause" : "Play";
    if (model.get("mode") !== "flicker" || !playing) return;
    timer = setInterval(() => split(1 - panels[0].view.settings.split), TURN_MS);
  };
  const dress = () => {
    const theme = model.get("theme");
    frame.dataset.theme = theme === "auto" ? pageTheme() : theme;
    panels.forEach((one) => one.setTheme?.(theme));
  };
  const listeners = [
    ["change:mode", show], ["change:shown", update], ["change:wipe", update], ["change:theme", dress],
    ["change:camera", () => camera.look(model.get("camera"))],
  ];
  for (const [name, act] of listeners) model.on(name, act);
  show();
  return () => {
    clearInterval(timer);
    for (const [name, act] of listeners) model.off(name, act);
    panels.forEach((one) => one.close());
    frame.remove();
  };
}

/** The colours of all differences, once for all faces. */
function legendOf({ low, high, stops, name, unit }) {
  const digits = high - low < 1 ? 2 : high - low < 20 ? 1 : 0;
  const [from, to] = [low, high].map((number) => number.toFixed(digits));
  const ramp = `linear-gradient(to right, ${stops.map((rgb) => `rgb(${rgb.join(",")})`).join(",")})`;
  return make("div", { class: "v2m-legend", role: "img", "aria-label": `Colours: ${from} to ${to} ${unit} ${name}` },
    make("span", {}, from), make("i", { style: `background: ${ramp}` }), make("span", {}, `${to} ${unit} ${name}`));
}

export const openFace = openComparison;
export default () => faceWidget(openFace);
