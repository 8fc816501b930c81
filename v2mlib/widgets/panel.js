// A canvas with its buttons and sliders.

/** An element with attributes, event handlers and children. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** The page's theme: JupyterLab's if it says so, else the reader's preference. */
function pageTheme() {
  const said = document.body.dataset.jpThemeLight;
  if (said) return said === "false" ? "dark" : "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function button(label, hint, act, pressed = null) {
  return make("button", { type: "button", title: hint, "aria-label": hint, "aria-pressed": pressed, onclick: act }, label);
}

/** One labelled slider; double click or Delete returns it to zero. */
function slider(label, value, act) {
  const shown = make("output", {}, value.toFixed(1));
  const input = make("input", {
    type: "range", min: -3, max: 3, step: 0.05, value, "aria-label": `${label}, standard deviations`,
    oninput: () => { shown.textContent = (+input.value).toFixed(1); act(+input.value); },
    ondblclick: () => zero(),
    onkeydown: (event) => { if (event.key === "Delete") zero(); event.stopPropagation(); },
  });
  const zero = () => { input.value = 0; input.dispatchEvent(new Event("input")); };
  const row = make("label", { class: "v2m-slider" }, make("span", {}, label), input, shown);
  row.set = (number) => {
    if (+input.value === number) return;
    input.value = number;
    shown.textContent = number.toFixed(1);
  };
  return row;
}

/** Save what the canvas shows. */
function snapshot(canvas, title) {
  canvas.toBlob((blob) => {
    const address = URL.createObjectURL(blob);
    const name = (title || "face").toLowerCase().replace(/[^a-z0-9]+/g, "_");
    make("a", { href: address, download: `${name}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }, "image/png");
}

/**
 * Show a face with its tools in `root`.
 *
 * options: title, caption, height (px), camera (shared or own), preset, theme ("auto"),
 * tools (buttons), toolsIn (where they go, if not below the picture), groups ([{ name, labels, values, onchange }], one slider per value),
 * onsetting(name, value) after a button or menu changed a setting of the view.
 */
function panel(root, mesh, options) {
  const camera = options.camera || new Camera();
  const canvas = make("canvas", {
    tabindex: 0, role: "img", style: `height:${options.height || 420}px`,
    "aria-label": `${options.title || "Face"}: drag or arrow keys turn it, plus and minus zoom, 1 2 3 choose a view, 0 resets`,
  });
  const stage = make("div", { class: "v2m-stage" }, canvas);
  const body = make("div", { class: "v2m-body" }, stage);
  // JupyterLab's one-letter shortcuts must not act on the cell while the face is in use.
  const frame = make("div", { class: "v2m", "data-lm-suppress-shortcuts": "true" });
  if (options.title) frame.append(make("div", { class: "v2m-title" }, options.title));
  frame.append(body);
  if (options.caption) frame.append(make("div", { class: "v2m-caption" }, options.caption));
  root.append(frame);
  const view = new View(canvas, mesh, camera, options.settings);
  const release = steer(canvas, view);
  if (options.preset) camera.look(options.preset);
  const change = (name, value) => {
    view.settings[name] = value;
    if (name === "region" || name === "scalars") view.recolour(); else view.redraw();
    show();
    options.onsetting?.(name, value);
  };
  const look = (preset) => { camera.look(preset); options.oncamera?.(preset); };
  const toggles = {};
  const show = () => {
    toggles.wireframe?.setAttribute("aria-pressed", view.settings.wireframe);
    toggles.landmarks?.setAttribute("aria-pressed", view.settings.landmarks);
    const { lines } = view.settings;
    if (toggles.lines) toggles.lines.value = lines.length > 1 ? "*" : lines[0] || "";
    if (toggles.region) toggles.region.value = view.settings.region;
  };
  if (options.tools !== false) (options.toolsIn || stage).append(toolbar());
  const tall = ((options.height || 420) + 62) / Math.max(options.groups?.length, 1) - 36;
  const sliders = (options.groups || []).map((group) => {
    const rows = group.values.map((value, k) => slider(group.labels[k], value, (number) => group.onchange(k, number)));
    const list = make("div", { class: "v2m-list", style: `max-height:${tall}px` }, ...rows);
    return { box: make("details", { open: true }, make("summary", {}, group.name), list), rows };
  });
  if (sliders.length) body.append(make("div", { class: "v2m-sliders" }, ...sliders.map(({ box }) => box)));

  function toolbar() {
    const bar = make("div", { class: "v2m-tools", role: "toolbar", "aria-label": "View" },
      button("Front", "Front view (key 1)", () => look("front")),
      button("¾", "Three-quarter view (key 2)", () => look("three_quarter")),
      button("Profile", "Profile view (key 3)", () => look("profile")));
    toggles.wireframe = button("Mesh", "Show the triangles", () => change("wireframe", !view.settings.wireframe), false);
    bar.append(toggles.wireframe);
    if (mesh.landmarks.length) {
      toggles.landmarks = button("Landmarks", "Show the 68 landmarks", () => change("landmarks", !view.settings.landmarks), false);
      bar.append(toggles.landmarks);
    }
    const names = Object.keys(mesh.lines);
    if (names.length) {
      const usual = options.lines?.length ? options.lines : names.slice(0, 5);
      toggles.lines = make("select", { "aria-label": "Show lines and their lengths", onchange: ({ target: { value } }) => change("lines", value === "*" ? usual : value ? [value] : []) },
        make("option", { value: "" }, "Lines"), make("option", { value: "*" }, `${usual.length} lines`),
        ...names.map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
      bar.append(toggles.lines);
    }
    if (Object.keys(mesh.regions).length) {
      toggles.region = make("select", { "aria-label": "Highlight a region", onchange: (event) => change("region", event.target.value) },
        make("option", { value: "" }, "Region"),
        ...Object.keys(mesh.regions).map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
      bar.append(toggles.region);
    }
    bar.append(
      button("◐", "Dark or light", () => { setTheme(view.settings.theme === "dark" ? "light" : "dark"); options.ontheme?.(options.theme); }),
      button("Reset", "Reset view and sliders (key 0)", () => { camera.reset(); options.onreset?.(); }),
      button("PNG", "Save the picture", () => { view.finish(); snapshot(canvas, options.title); }));
    return bar;
  }

  const dress = () => {
    const theme = options.theme && options.theme !== "auto" ? options.theme : pageTheme();
    frame.dataset.theme = theme;
    view.settings.theme = theme;
    view.redraw();
  };
  const watcher = new MutationObserver(dress);
  watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  dress();
  show();
  const setTheme = (theme) => { options.theme = theme; dress(); };
  const close = () => { watcher.disconnect(); release(); view.close(); frame.remove(); };
  return { frame, view, camera, sliders, show, change, setTheme, close };
}
