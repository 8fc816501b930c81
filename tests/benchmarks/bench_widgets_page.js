// Drives one viewer in a page of bench_widgets.py: `drive(n)` makes n updates and draws each.

const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

/** Our widget: a slider is moved as a hand moves it. */
globalThis.startOurs = async (factory, payload, state) => {
  const begun = performance.now();
  const model = standIn(state, payload), widget = factory();
  widget.initialize({ model });
  widget.render({ model, el: document.getElementById("place") });
  while (!document.querySelector("input[type=range]")) await nextFrame();
  await nextFrame();
  const sliders = [...document.querySelectorAll("input[type=range]")];
  globalThis.drive = async (count) => {
    for (let i = 0; i < count; i++) {
      const slider = sliders[Math.floor(i / 10) % sliders.length];
      slider.value = 3 * Math.sin(i);
      slider.dispatchEvent(new Event("input"));
      await nextFrame();
    }
    return model.sent ? Math.round(model.bytes / model.sent) : 0;
  };
  await nextFrame();
  return performance.now() - begun;
};

/** A peer: the vertices of every update come from Python, `act` takes them. */
globalThis.startPeer = (faces, act) => {
  globalThis.drive = async (count) => {
    for (let i = 0; i < count; i++) {
      await act(faces[i % faces.length]);
      await nextFrame();
    }
  };
};
