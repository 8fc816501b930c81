// The notebook's side: an anywidget whose sliders act here and report to Python.

/** One camera per link name, so that views of one group turn together without the kernel. */
function linkedCamera(name) {
  if (!name) return new Camera();
  const key = Symbol.for("v2mlib.cameras.1");
  globalThis[key] ??= new Map();
  const cameras = globalThis[key];
  const found = cameras.get(name);
  if (found && found.views.size) return found;
  cameras.set(name, new Camera());
  return cameras.get(name);
}

/** The payload's face, which all views of a widget share, with what has come since. */
function unpacked(payload) {
  const mesh = payload.mesh ??= new Mesh(payload);
  if (!mesh.modes) mesh.takeModes(payload);
  mesh.values = typed(payload.values, Float32Array);
  return mesh;
}

function openView(model, el, payload) {
  const mesh = unpacked(payload);
  const kinds = ["shape_coefficients", "expression_coefficients"];
  const groups = kinds.map((kind, index) => ({
    kind,
    name: index ? "Expression (sd)" : "Shape (sd)",
    labels: payload[index ? "expression_names" : "shape_names"] || [],
    values: model.get(kind),
    onchange(k, number) {
      const values = model.get(kind).slice();
      values[k] = number;
      model.set(kind, values);
      // At once: a value that is not yet sent would be undone by the kernel's echo of the last.
      // While the kernel is busy, Jupyter sends on only the latest.
      model.save_changes();
    },
  })).filter(({ values }) => model.get("sliders") && values.length);
  const shown = panel(el, mesh, {
    title: model.get("title"),
    height: model.get("height"),
    camera: linkedCamera(model.get("link")),
    preset: model.get("camera"),
    theme: model.get("theme"),
    tools: model.get("tools"),
    lines: model.get("lines"),
    groups,
    settings: {
      wireframe: model.get("wireframe"),
      landmarks: model.get("show_landmarks"),
      lines: model.get("lines"),
      region: model.get("selected_region"),
      scalars: scalarMap(model),
    },
    onsetting(name, value) {
      model.set({ landmarks: "show_landmarks", region: "selected_region" }[name] || name, value);
      model.save_changes();
    },
    oncamera(preset) { model.set("camera", preset); model.save_changes(); },
    ontheme(theme) { model.set("theme", theme); model.save_changes(); },
    onreset() {
      for (const kind of kinds) model.set(kind, model.get(kind).map(() => 0));
      model.save_changes();
    },
  });
  const { view } = shown;
  // Several events may come between two pictures: the face is worked out once for each picture.
  view.prepare = (exact) => mesh.pose(kinds.flatMap((kind) => model.get(kind)), exact);
  const pose = () => {
    shown.sliders.forEach(({ rows }, index) => {
      rows.forEach((row, k) => row.set(model.get(groups[index].kind)[k]));
    });
    view.redraw();
  };
  const setting = (trait, name, act = "redraw") => [`change:${trait}`, () => {
    view.settings[name] = model.get(trait);
    shown.show();
    view[act]();
  }];
  const listeners = [
    ...kinds.map((kind) => [`change:${kind}`, pose]),
    setting("wireframe", "wireframe"),
    setting("show_landmarks", "landmarks"),
    setting("lines", "lines"),
    setting("selected_region", "region", "recolour"),
    ["change:_scalars", () => { view.settings.scalars = scalarMap(model); view.recolour(); }],
    ["msg:custom", (message) => {
      // The payload has been told already.
      if (message.kind === "scalars" || message.kind === "modes") unpacked(payload);
      if (message.kind === "modes") pose();
    }],
    ["change:camera", () => shown.camera.look(model.get("camera"))],
    ["change:theme", () => shown.setTheme(model.get("theme"))],
  ];
  for (const [name, act] of listeners) model.on(name, act);
  pose();
  return () => {
    for (const [name, act] of listeners) model.off(name, act);
    shown.close();
  };
}

/** How the mesh's numbers colour the face, or null for its own colours. */
function scalarMap(model) {
  const map = model.get("_scalars");
  return map.stops ? { ...map, values: null } : null;
}

export const openFace = openView, unpackFace = unpacked;
export default () => faceWidget(openFace);
