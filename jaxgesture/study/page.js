"use strict";
// One rater is one record in localStorage; it is written at each change, so that closing the tab
// loses nothing. Order and plan follow from the rater's name alone.

const study = JSON.parse(document.getElementById("study").textContent);
const names = study.questions.map((question) => question.name);
const prefix = `jaxgesture-study:${study.study}:`;
const $ = (id) => document.getElementById(id);
const video = $("video");
const screens = ["welcome", "rating", "end"];
let record = null;
let furthest = 0;

// ---- what is kept ----

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(prefix + name));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {
    $("no-storage").hidden = false;
  }
}

const save = () => write(`rater:${record.rater}`, record);

// ---- plan and order ----

// FNV-1a, 32 bits.
function hash(text) {
  let value = 2166136261;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 16777619);
  }
  return value >>> 0;
}

// mulberry32: numbers in [0, 1) from a seed.
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// A number from 1 to the number of plans takes that plan, which balances exactly; any other name
// takes one by its hash, which balances on average.
function planOf(rater) {
  const number = /^[1-9]\d*$/.test(rater) ? Number(rater) : 0;
  const count = study.plans.length;
  return number && number <= count ? number - 1 : hash(`plan ${study.study} ${rater}`) % count;
}

function orderOf(rater, plan) {
  const order = [...study.plans[plan]];
  const random = generator(hash(`order ${study.study} ${rater}`));
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

function newRecord(rater) {
  const plan = planOf(rater);
  return {
    format: study.format,
    study: study.study,
    rater,
    plan: plan + 1,
    started: new Date().toISOString(),
    finished: null,
    order: orderOf(rater, plan),
    answers: {},
    position: 0,
  };
}

// ---- the answer at hand ----

const token = () => record.order[record.position];

function answer(of = token()) {
  return (record.answers[of] ??= { ratings: {}, plays: 0 });
}

const isRated = (of) => names.every((name) => name in answer(of).ratings);
const isDone = (of) => isRated(of) || answer(of).failed === true;

// ---- screens ----

function show(name) {
  for (const other of screens) $(other).hidden = other !== name;
  video.pause();
  window.scrollTo(0, 0);
  $(name).querySelector("h1").focus({ preventScroll: true });
}

function showWelcome(rater) {
  record = null;
  write("current", null);
  $("rater").value = rater;
  $("rater-problem").textContent = "";
  show("welcome");
}

function enter(rater) {
  record = read(`rater:${rater}`) ?? newRecord(rater);
  write("current", rater);
  save();
  for (const place of document.querySelectorAll(".who")) place.textContent = rater;
  if (record.position < record.order.length) showVideo();
  else showEnd();
}

function showVideo() {
  const count = record.order.length;
  $("where").textContent = `Video ${record.position + 1} of ${count}`;
  $("progress").max = count;
  $("progress").value = record.order.filter(isDone).length;
  $("back").hidden = record.position === 0;
  $("next").textContent = record.position + 1 === count ? "Finish" : "Next";
  $("missing").textContent = "";
  furthest = 0;
  show("rating");
  load();
  showRatings();
  $("play").focus({ preventScroll: true });
  const following = record.order[record.position + 1];
  if (following) {
    const ahead = document.createElement("video");
    ahead.preload = "auto";
    ahead.src = study.videos[following];
  }
}

function showEnd() {
  const rated = record.order.filter(isRated).length;
  $("done").textContent = `You rated ${rated} of ${record.order.length} videos.`;
  $("saved").textContent = "";
  show("end");
}

function go(step) {
  record.position += step;
  const over = record.position >= record.order.length;
  if (over) record.finished = new Date().toISOString();
  save();
  if (over) showEnd();
  else showVideo();
}

// ---- playing ----

function load() {
  $("failed").hidden = true;
  $("play").hidden = false;
  video.src = study.videos[token()];
  video.load();
  showPlaying();
}

function showPlaying() {
  const playing = !video.paused && !video.ended;
  const plays = answer().plays;
  $("play").classList.toggle("playing", playing);
  $("play").setAttribute("aria-label", playing ? "Pause" : plays ? "Play again" : "Play");
  $("state").textContent = playing
    ? ""
    : plays
      ? "You can play it again, as often as you like."
      : "Play the video to its end; then you can rate it.";
}

function toggle() {
  if (!$("failed").hidden) return;
  if (video.paused || video.ended) video.play().catch(() => {});
  else video.pause();
}

video.addEventListener("loadedmetadata", () => {
  const ratio = video.videoWidth / video.videoHeight;
  video.parentElement.style.setProperty("--ratio", String(ratio || 1));
});
video.addEventListener("play", showPlaying);
video.addEventListener("pause", showPlaying);
video.addEventListener("timeupdate", () => {
  if (!video.seeking) furthest = Math.max(furthest, video.currentTime);
  $("time").style.width = `${video.duration ? (100 * video.currentTime) / video.duration : 0}%`;
});
// Media keys of a keyboard would skip to the end.
video.addEventListener("seeking", () => {
  if (video.currentTime > furthest + 0.5) video.currentTime = furthest;
});
video.addEventListener("ratechange", () => {
  if (video.playbackRate !== 1) video.playbackRate = 1;
});
video.addEventListener("ended", () => {
  const first = answer().plays === 0;
  answer().plays += 1;
  delete answer().failed;
  save();
  showPlaying();
  showRatings();
  if (first) focusOn(firstMissing() ?? names[0]);
});
video.addEventListener("error", () => {
  if (!record || !video.getAttribute("src")) return;
  $("failed").hidden = false;
  $("play").hidden = true;
  $("state").textContent = "";
});
$("play").addEventListener("click", toggle);
$("retry").addEventListener("click", load);
$("skip").addEventListener("click", () => {
  answer().failed = true;
  go(1);
});

// ---- rating ----

const fieldset = (name) => $(`question-${name}`);
const firstMissing = () => names.find((name) => !(name in answer().ratings));

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function buildQuestions() {
  for (const { name, label, text } of study.questions) {
    const scale = element("div", { className: "scale" });
    study.scale.forEach((word, index) => {
      const input = element("input", { type: "radio", name, value: String(index + 1) });
      input.setAttribute("aria-label", `${index + 1}, ${word}`);
      input.addEventListener("change", () => rate(name, index + 1));
      const shown = element("span", {}, String(index + 1), element("small", {}, word));
      scale.append(element("label", {}, input, shown));
    });
    $("questions").append(
      element(
        "fieldset",
        { id: `question-${name}`, tabIndex: -1 },
        element(
          "legend",
          {},
          element("strong", {}, label),
          element("span", { className: "text" }, text),
        ),
        scale,
      ),
    );
  }
}

function showRatings() {
  const { ratings, plays } = answer();
  for (const name of names) {
    const place = fieldset(name);
    place.disabled = plays === 0;
    for (const input of place.querySelectorAll("input")) {
      input.checked = Number(input.value) === ratings[name];
    }
  }
  $("next").classList.toggle("waiting", !isDone(token()));
}

function rate(name, value) {
  answer().ratings[name] = value;
  // An answer changed after the end makes a file that is later than the one before.
  if (record.finished) record.finished = new Date().toISOString();
  save();
  $("missing").textContent = "";
  $("progress").value = record.order.filter(isDone).length;
  showRatings();
}

function focusOn(name) {
  fieldset(name).focus();
  fieldset(name).scrollIntoView({ block: "nearest" });
}

function rateByKey(value) {
  if (answer().plays === 0) return;
  const at = names.findIndex((name) => fieldset(name).contains(document.activeElement));
  const name = at < 0 ? (firstMissing() ?? names.at(-1)) : names[at];
  rate(name, value);
  const following = names[names.indexOf(name) + 1] ?? firstMissing();
  if (following) focusOn(following);
  else $("next").focus();
}

$("ratings").addEventListener("submit", (event) => {
  event.preventDefault();
  if (isDone(token())) {
    go(1);
  } else if (answer().plays === 0) {
    $("missing").textContent = "Please play the video to its end first.";
    $("play").focus();
  } else {
    const missing = study.questions.filter(({ name }) => !(name in answer().ratings));
    $("missing").textContent = `Still to rate: ${missing.map(({ label }) => label).join(", ")}.`;
    focusOn(missing[0].name);
  }
});
$("back").addEventListener("click", () => go(-1));
$("return").addEventListener("click", () => go(-1));

document.addEventListener("keydown", (event) => {
  if ($("rating").hidden || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const key = event.key.toLowerCase();
  const onFieldset = document.activeElement?.tagName === "FIELDSET";
  if (/^[1-9]$/.test(key) && Number(key) <= study.scale.length) rateByKey(Number(key));
  else if (key === "p" || (key === " " && document.activeElement === document.body)) toggle();
  else if (key === "b" && record.position > 0) go(-1);
  else if (key === "enter" && onFieldset) $("ratings").requestSubmit();
  else return;
  event.preventDefault();
});

// ---- beginning and end ----

function download() {
  const { position, ...kept } = record;
  const file = element("a", {
    href: URL.createObjectURL(
      new Blob([`${JSON.stringify(kept, null, 2)}\n`], { type: "application/json" }),
    ),
    download: `answers-${study.study}-${record.rater.replace(/[^\w.-]+/g, "_")}.json`,
  });
  document.body.append(file);
  file.click();
  file.remove();
  setTimeout(() => URL.revokeObjectURL(file.href), 60000);
  return `Saved as ${file.download} in your downloads.`;
}

$("download").addEventListener("click", () => {
  $("saved").textContent = download();
});
$("stop").addEventListener("click", () => {
  $("state").textContent = `${download()} ${study.send_to} You can go on later.`;
});
for (const button of document.querySelectorAll(".other")) {
  button.addEventListener("click", () => showWelcome(""));
}
$("generate").addEventListener("click", () => {
  const letters = crypto.getRandomValues(new Uint8Array(6));
  $("rater").value = [...letters].map((n) => "abcdefghjkmnpqrstuvwxyz23456789"[n % 31]).join("");
  $("begin").focus();
});
$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  const rater = $("rater").value.trim();
  if (rater) {
    enter(rater);
  } else {
    $("rater-problem").textContent = "Please type your number or name, or let the page make one.";
    $("rater").focus();
  }
});
window.addEventListener("beforeunload", (event) => {
  if (record && !$("no-storage").hidden) event.preventDefault();
});

function fill(selector, text) {
  for (const place of document.querySelectorAll(selector)) place.textContent = text;
}

function begin() {
  document.title = study.title;
  const count = study.plans[0].length;
  const numbers = ["", "one question", "two questions", "three questions", "four questions"];
  fill(".title", study.title);
  fill(".count", String(count));
  // Half a minute a video: twelve of fifteen seconds take about six minutes.
  fill(".minutes", String(Math.max(2, Math.ceil(count / 2))));
  fill(".questions", numbers[names.length] ?? `${names.length} questions`);
  fill(".worst", study.scale[0]);
  fill(".best", study.scale.at(-1));
  $("send-to").textContent = study.send_to;
  buildQuestions();
  const invited = (new URLSearchParams(location.search).get("rater") ?? "").trim().slice(0, 60);
  const rater = invited || read("current");
  if (rater && read(`rater:${rater}`)) enter(rater);
  else showWelcome(rater ?? "");
}

begin();
