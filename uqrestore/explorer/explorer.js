// The explorer of a posterior file. Arrays of one slice arrive once; everything else happens here.
const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 1000 ? v.toFixed(0) : v.toPrecision(3));
const element = (name, props = {}, ...inside) => {
  const made = Object.assign(document.createElement(name), props);
  made.append(...inside);
  return made;
};

function render({ model, el }) {
  let meta, A, H, W, N, K, L, UP, LUT;
  const state = { draw: -1, freeze: 0, timers: {} };
  const root = element("div", { className: "uq-explorer" });
  el.append(root);

  // --- what is on the screen ------------------------------------------------------------------
  const title = element("h4"), sliders = element("div"), left = element("canvas", { tabIndex: 0 }), right = element("canvas", { tabIndex: 0 });
  left.setAttribute("role", "img"); right.setAttribute("role", "img");
  left.setAttribute("aria-label", "Posterior mean moved by the sliders, or a draw. Click or use arrow keys for a pixel; drag for a region.");
  right.setAttribute("aria-label", "Map chosen in the list: change, standard deviation, correlation or nearest draw.");
  const leftCap = element("div", { className: "cap" }), rightCap = element("div", { className: "cap" });
  const view = element("select", { ariaLabel: "map on the right" }, ...["standard deviation", "change by the sliders", "correlation with the pixel", "nearest real draw", "correlation with the parameter"].map((t) => element("option", { textContent: t })));
  const slice = element("input", { type: "range", min: 0, step: 1, ariaLabel: "slice" }), sliceOut = element("output");
  const reset = element("button", { textContent: "back to the mean" }), cine = element("button", { textContent: "play draws" });
  const sweep = element("button", { textContent: "sweep" }), freeze = element("button", { textContent: "freeze" }), copy = element("button", { textContent: "copy as code" });
  const scope = element("button", { textContent: "components of the region" });
  const chart = element("div"), words = element("div", { className: "soft" }), code = element("pre"), unknown = element("div"), frozen = element("div", { className: "uq-frozen" });
  words.setAttribute("aria-live", "polite");
  const controls = element("div", {},
    element("label", {}, "slice", sliceOut), slice, sliders, element("div", {}, reset, sweep, cine, freeze, copy, scope));
  root.append(title, element("div", { className: "uq-grid" },
    controls, element("div", {}, leftCap, left), element("div", {}, rightCap, right, view),
    element("div", {}, element("div", { className: "cap", textContent: "posterior" }), chart, words, unknown)), code, frozen);

  // --- arrays -----------------------------------------------------------------------------------
  function receive() {
    meta = model.get("meta");
    const view_ = model.get("arrays"), bytes = view_ instanceof DataView ? view_ : new DataView(view_.buffer ?? view_);
    A = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    [H, W] = meta.shape; N = H * W; K = meta.components; L = meta.draws; UP = Math.max(1, Math.ceil(256 / W));
    LUT = {};
    for (const [name, hex] of Object.entries(meta.colours)) LUT[name] = Uint8Array.from({ length: 768 }, (_, i) => parseInt(hex.substr(2 * i, 2), 16));
    title.innerHTML = "";
    title.append(meta.name + " ", element("small", { textContent: `slice at z = ${short(meta.zmm)} mm, ${L} draws; research use only` }));
    slice.disabled = meta.slices < 2;
    slice.max = meta.slices - 1; slice.value = model.get("z"); sliceOut.textContent = `z = ${short(meta.zmm)} mm`;
    build();
    listed();
    draw();
  }
  const block = (i) => A.subarray(i * N, (i + 1) * N);
  const mean = () => block(0), std = () => block(1), step = (k) => block(2 + k), sample = (j) => block(2 + K + j);

  function build() {
    sliders.replaceChildren(...Array.from({ length: K }, (_, k) => {
      const out = element("output", { textContent: "+0.00 std" });
      const input = element("input", { type: "range", min: -3, max: 3, step: .05, value: model.get("alpha")[k] ?? 0, ariaLabel: `component ${k + 1}` });
      input.addEventListener("input", () => { state.last = k; stop("cine"); state.draw = -1; set(k, +input.value); });
      return element("div", {}, element("label", {}, `component ${k + 1}${meta.scope ? " of the region" : ""}${meta.shares[k] ? `, ${meta.shares[k]}` : ""}`, out), input);
    }));
  }
  function listed() {  // unknown parameters of the measurement, drawn with the image
    const all = meta.parameters;
    view.querySelector("option:last-child").hidden = !all.length;
    unknown.replaceChildren(...(all.length ? [element("div", { className: "cap", textContent: "unknown parameters" })] : []), ...all.map((p, i) => {
      const [low, high] = p.interval, unit = p.unit ? ` ${p.unit}` : "";
      const button = element("button", { textContent: `${p.name}: ${short(low)} to ${short(high)}${unit}`, title: `${meta.interval.name} interval of the draws; prior ${short(p.prior_mean)} ± ${short(p.prior_std)}${unit}. Click for its correlation with every pixel.` });
      button.addEventListener("click", () => { state.parameter = i; view.value = "correlation with the parameter"; draw(); });
      return button;
    }));
  }
  function set(k, value) {
    const alpha = [...model.get("alpha")];
    alpha[k] = Math.round(value * 100) / 100;
    model.set("alpha", alpha); sliders.children[k].querySelector("input").value = value;
    draw(); later();
  }
  let waiting = null;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(() => model.save_changes(), 120); };  // Python need not see every step

  // --- pictures ---------------------------------------------------------------------------------
  function paint(canvas, values, lut, low, high) {
    const sheet = new OffscreenCanvas(W, H), pen = sheet.getContext("2d"), page = pen.createImageData(W, H), table = LUT[lut];
    for (let row = 0; row < H; row++) for (let column = 0; column < W; column++) {
      const c = 3 * Math.max(0, Math.min(255, (255 * (values[row * W + column] - low) / (high - low || 1)) | 0)), to = 4 * ((H - 1 - row) * W + column);
      page.data[to] = table[c]; page.data[to + 1] = table[c + 1]; page.data[to + 2] = table[c + 2]; page.data[to + 3] = 255;
    }
    pen.putImageData(page, 0, 0);
    canvas.width = W * UP; canvas.height = H * UP;
    const g = canvas.getContext("2d");
    g.imageSmoothingEnabled = false; g.drawImage(sheet, 0, 0, canvas.width, canvas.height);
    const pixel = model.get("pixel"), region = model.get("region");
    g.strokeStyle = "#ff9d2e"; g.fillStyle = "rgba(255,157,46,.35)"; g.lineWidth = 1.5;
    for (const i of region) g.fillRect((i % W) * UP, (H - 1 - ((i / W) | 0)) * UP, UP, UP);
    if (pixel.length) g.strokeRect(pixel[1] * UP - 1, (H - 1 - pixel[0]) * UP - 1, UP + 2, UP + 2);
  }
  function moved() {
    const out = Float32Array.from(mean());
    model.get("alpha").forEach((a, k) => { if (a) { const s = step(k); for (let i = 0; i < N; i++) out[i] += a * s[i]; } });
    return out;
  }
  function nearest() {
    const alpha = model.get("alpha");
    let best = 0, least = Infinity;
    meta.scores.forEach((row, j) => { const d = row.reduce((s, v, k) => s + (v - alpha[k]) ** 2, 0); if (d < least) { least = d; best = j; } });
    return [best, Math.sqrt(least)];
  }
  function correlation(values) {  // of a number a draw with every pixel
    const m = new Float64Array(N), own = new Float64Array(L), cross = new Float64Array(N), own2 = new Float64Array(N);
    for (let j = 0; j < L; j++) { const s = sample(j); for (let i = 0; i < N; i++) m[i] += s[i] / L; }
    const average = values.reduce((s, v) => s + v, 0) / L;
    let power = 0;
    for (let j = 0; j < L; j++) { own[j] = values[j] - average; power += own[j] ** 2; }
    for (let j = 0; j < L; j++) { const s = sample(j); for (let i = 0; i < N; i++) { const d = s[i] - m[i]; cross[i] += own[j] * d; own2[i] += d * d; } }
    return Float32Array.from(cross, (v, i) => { const scale = Math.sqrt(power * own2[i]); return scale > 0 ? v / scale : 0; });
  }
  function draw() {
    const start = performance.now(), alpha = model.get("alpha"), [low, high] = meta.window, now = state.draw < 0 ? moved() : sample(state.draw);
    paint(left, now, "gray", low, high);
    const far = Math.max(0, ...alpha.map(Math.abs)) > 2 && state.draw < 0;
    left.classList.toggle("beyond", far);
    leftCap.textContent = state.draw < 0 ? "mean + sliders" + (far ? ": beyond ±2 std, few draws reach this" : "") : `draw ${state.draw + 1} of ${L}`;
    const pixel = model.get("pixel");
    const parameter = meta.parameters[state.parameter ?? 0];
    if (view.value === "correlation with the parameter" && parameter) { paint(right, correlation(parameter.values), "PuOr_r", -1, 1); rightCap.textContent = `correlation with ${parameter.name}, -1 to 1`; }
    else if (view.value.startsWith("corr") && pixel.length) {
      const at = pixel[0] * W + pixel[1];
      paint(right, correlation(Array.from({ length: L }, (_, j) => sample(j)[at])), "PuOr_r", -1, 1); rightCap.textContent = "correlation with the pixel, -1 to 1";
    }
    else if (view.value.startsWith("change")) {
      const change = moved(), m = mean(); for (let i = 0; i < N; i++) change[i] -= m[i];
      paint(right, change, "PuOr_r", -meta.stepTop, meta.stepTop); rightCap.textContent = `change, ±${short(meta.stepTop)} ${meta.unit}`;
    } else if (view.value.startsWith("nearest") && meta.scores.length) {
      const [j, far_] = nearest(); paint(right, sample(j), "gray", low, high); rightCap.textContent = `draw ${j + 1}, ${far_.toFixed(1)} std away`;
    } else { paint(right, std(), "cividis", 0, meta.stdTop); rightCap.textContent = `std, 0 to ${short(meta.stdTop)} ${meta.unit}` + (view.value.startsWith("corr") ? " (click a pixel for its correlation)" : ""); }
    scope.disabled = !meta.scope && !model.get("region").length;
    scope.textContent = meta.scope ? "components of the slice" : "components of the region";
    sliders.querySelectorAll("output").forEach((o, k) => { o.textContent = `${alpha[k] < 0 ? "−" : "+"}${Math.abs(alpha[k]).toFixed(2)} std`; });
    histogram(now); write();
    root.dataset.milliseconds = performance.now() - start;
  }
  function histogram(now) {
    const pixel = model.get("pixel"), region = model.get("region"), of = region.length ? region : pixel.length ? [pixel[0] * W + pixel[1]] : null;
    if (!of) { chart.replaceChildren(); words.textContent = "Click a pixel for its posterior and its correlation map; drag around a region for the posterior of its mean."; return; }
    const average = (image) => of.reduce((s, i) => s + image[i], 0) / of.length;
    const values = Array.from({ length: L }, (_, j) => average(sample(j))).sort((a, b) => a - b), here = average(now);
    const [start, end] = [values[meta.interval.rank - 1], values[L - meta.interval.rank]], level = meta.interval.name;
    const low = Math.min(values[0], here), high = Math.max(values[L - 1], here), bins = Math.min(15, Math.max(5, L >> 1)), counts = Array(bins).fill(0);
    values.forEach((v) => { counts[Math.min(bins - 1, ((v - low) / (high - low || 1) * bins) | 0)]++; });
    const top = Math.max(...counts), x = (v) => 8 + 204 * (v - low) / (high - low || 1);
    const svg = [`<svg viewBox="0 0 220 112" role="img" aria-label="Histogram of ${L} draws, ${level} interval ${short(start)} to ${short(end)}">`];
    counts.forEach((n, i) => svg.push(`<rect x="${8 + 204 * i / bins}" y="${76 - 70 * n / top}" width="${204 / bins - 1}" height="${70 * n / top}" fill="#0072b2" opacity=".75"/>`));
    svg.push(`<line x1="${x(start)}" x2="${x(end)}" y1="82" y2="82" stroke="#0072b2" stroke-width="4"/>`,
      `<line x1="${x(here)}" x2="${x(here)}" y1="4" y2="86" stroke="#b34700" stroke-width="1.5" stroke-dasharray="3 2"/>`,
      `<text x="8" y="100">${short(low)}</text><text x="212" y="100" text-anchor="end">${short(high)}</text><text x="110" y="110" text-anchor="middle">intensity</text></svg>`);
    chart.innerHTML = svg.join("");
    const where = region.length ? `mean of ${region.length} pixels` : `pixel at x ${short(meta.x[pixel[1]])}, y ${short(meta.y[pixel[0]])} mm`;
    words.textContent = `${where}: ${level} interval of the draws ${short(start)} to ${short(end)} ${meta.unit}; orange: the picture, ${short(here)}.`;
    if (region.length && meta.regionsWarning) words.append(element("b", { textContent: " △ Not calibrated. ", title: meta.regionsWarning }), "Do not use this interval as the error bar of a measurement.");
  }
  function write() {
    const z = model.get("z"), alpha = model.get("alpha"), pixel = model.get("pixel"), region = model.get("region");
    const lines = ["import uqrestore", `posterior = uqrestore.open(${JSON.stringify(meta.name)})`];
    if (meta.scope && state.draw < 0) lines.push("import numpy as np", `image = posterior.mean[${z}] + np.tensordot([${alpha.join(", ")}], explorer.components.steps, 1)`);
    else lines.push(state.draw < 0 ? `image = posterior.combine([${alpha.join(", ")}], z=${z})` : `image = posterior.samples[${state.draw}].isel(z=${z})`);
    if (region.length) lines.push("mask = explorer.mask()", `draws = posterior.region(mask, z=${z})`, "low, high = posterior.interval(draws)");
    else if (pixel.length) lines.push(`draws = posterior.pixel(z=${z}, y=${pixel[0]}, x=${pixel[1]})`, `correlation = posterior.correlation(z=${z}, y=${pixel[0]}, x=${pixel[1]})`, "low, high = posterior.interval(draws)");
    code.textContent = lines.join("\n");
    model.set("code", code.textContent);
  }

  // --- hands ------------------------------------------------------------------------------------
  const stop = (name) => { clearInterval(state.timers[name]); delete state.timers[name]; cine.textContent = "play draws"; sweep.textContent = "sweep"; };
  const play = (name, button, advance, period) => button.addEventListener("click", () => {
    const on = state.timers[name] === undefined;
    stop("cine"); stop("sweep");
    if (on) { state.timers[name] = setInterval(advance, period); button.textContent = "stop"; }
  });
  play("cine", cine, () => { state.draw = (state.draw + 1) % L; draw(); }, 300);
  let phase = 0;
  play("sweep", sweep, () => { if (!K) return; phase += .13; state.draw = -1; set(state.last ?? 0, 2 * Math.sin(phase)); }, 60);
  reset.addEventListener("click", () => { stop("cine"); stop("sweep"); state.draw = -1; model.set("alpha", Array(K).fill(0)); build(); draw(); later(); });
  scope.addEventListener("click", () => {  // Python answers with the components and their sliders
    stop("cine"); stop("sweep"); state.draw = -1;
    model.set("scope", meta.scope ? [] : model.get("region")); model.save_changes();
  });
  slice.addEventListener("change", () => { model.set("z", +slice.value); model.set("region", []); model.set("scope", []); model.save_changes(); });
  view.addEventListener("change", draw);
  freeze.addEventListener("click", () => {
    const kept = element("canvas"); kept.width = left.width; kept.height = left.height; kept.getContext("2d").drawImage(left, 0, 0);
    frozen.append(element("figure", {}, kept, element("figcaption", { textContent: state.draw < 0 ? model.get("alpha").map((a) => a.toFixed(1)).join(", ") || "mean" : `draw ${state.draw + 1}` })));
  });
  copy.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(code.textContent); copy.textContent = "copied"; }
    catch { getSelection().selectAllChildren(code); copy.textContent = "selected: press Ctrl+C"; }
  });
  const place = (canvas, e) => { const b = canvas.getBoundingClientRect(); return [(H - (e.clientY - b.top) / b.height * H), (e.clientX - b.left) / b.width * W]; };
  const inside = (v, n) => Math.max(0, Math.min(n - 1, v | 0));
  const choose = (row, column) => { model.set("pixel", [inside(row, H), inside(column, W)]); model.set("region", []); draw(); later(); };
  for (const canvas of [left, right]) {
    let path = null;
    canvas.addEventListener("pointerdown", (e) => { path = [place(canvas, e)]; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener("pointermove", (e) => {
      if (!path) return;
      path.push(place(canvas, e));
      const g = canvas.getContext("2d"); g.strokeStyle = "#ff9d2e"; g.lineWidth = 2; g.beginPath();
      path.forEach(([r, c], i) => g[i ? "lineTo" : "moveTo"](c * UP, (H - r) * UP)); g.stroke();
    });
    canvas.addEventListener("pointerup", () => {
      const done = path; path = null;
      if (!done) return;
      const wide = Math.max(...done.map(([r, c]) => Math.abs(r - done[0][0]) + Math.abs(c - done[0][1])));
      if (wide < 1.5) return choose(...done[0]);
      const found = [];
      for (let row = 0; row < H; row++) for (let column = 0; column < W; column++) if (within(done, row + .5, column + .5)) found.push(row * W + column);
      if (!found.length) return choose(...done[0]);
      model.set("pixel", []); model.set("region", found); draw(); later();
    });
    canvas.addEventListener("keydown", (e) => {
      const by = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
      if (!by) return;
      const [r, c] = model.get("pixel").length ? model.get("pixel") : [H >> 1, W >> 1];
      choose(r + by[0], c + by[1]); e.preventDefault();
    });
  }
  function within(path, row, column) {  // even-odd rule
    let odd = false;
    for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
      const [r1, c1] = path[i], [r2, c2] = path[j];
      if ((r1 > row) !== (r2 > row) && column < (c2 - c1) * (row - r1) / (r2 - r1) + c1) odd = !odd;
    }
    return odd;
  }
  model.on("change:meta", receive);
  receive();
  return () => { stop("cine"); stop("sweep"); };
}
export default { render };
