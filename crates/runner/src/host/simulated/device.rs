//! The state of one simulated device, and the calls that change it. Results have the shapes of `mobilecli` 1.0.9.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::CallError;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::catalog::{DeviceModel, InstalledApp, browser_id, factory_apps};
use super::{movie, screen};
use crate::clock::now;
use crate::host::driver::{host_error, invalid_params, method_not_found};

/// Maximum number of marks, and of characters of text, that a screen keeps.
const MAX_MARKS: usize = 50;
const MAX_TEXT: usize = 200;

/// The buttons of a device, as `mobilecli` names them.
const BUTTONS: [&str; 12] = [
    "HOME",
    "BACK",
    "POWER",
    "VOLUME_UP",
    "VOLUME_DOWN",
    "APP_SWITCH",
    "ENTER",
    "LOCK",
    "DPAD_UP",
    "DPAD_DOWN",
    "DPAD_LEFT",
    "DPAD_RIGHT",
];

/// A touch of a finger, in points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    Tap(i64, i64),
    Swipe(i64, i64, i64, i64),
}

/// One simulated device.
#[derive(Debug)]
pub(super) struct SimulatedDevice {
    pub(super) model: DeviceModel,
    pub(super) apps: Vec<InstalledApp>,
    pub(super) foreground: Option<String>,
    pub(super) landscape: bool,
    pub(super) marks: Vec<Mark>,
    pub(super) text: String,
    clipboard: String,
    recording: Option<Instant>,
}

type CallResult = Result<Value, CallError>;

impl SimulatedDevice {
    /// A new device.
    pub(super) fn new(model: DeviceModel) -> Self {
        let apps = factory_apps(model.platform);
        Self {
            model,
            apps,
            foreground: None,
            landscape: false,
            marks: Vec::new(),
            text: String::new(),
            clipboard: String::new(),
            recording: None,
        }
    }

    /// Makes the device new again.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.model.clone());
    }

    /// Restarts the device: apps stay, all other state is lost.
    pub(super) fn restart(&mut self) {
        let apps = std::mem::take(&mut self.apps);
        self.reset();
        self.apps = apps;
    }

    /// Width and height in points, in the current orientation.
    pub(super) fn size(&self) -> (u32, u32) {
        let (width, height) = self.model.size;
        if self.landscape { (height, width) } else { (width, height) }
    }

    /// Handles every call that needs neither files nor time.
    pub(super) fn handle_call(&mut self, method: &str, params: &Map<String, Value>) -> CallResult {
        match method {
            "device.info" => Ok(self.info()),
            "device.screenshot" => Ok(self.screenshot()),
            "device.dump.ui" => Ok(self.dump_ui(params)),
            "device.url" => self.open_url(text_param(params, "url")?),
            "device.screenrecord" => self.start_recording(),
            "device.crashes.list" => Ok(json!([])),
            "device.location.set" => set_location(params),
            "device.location.clear" | "device.settings.apply" => ok(),
            "device.clipboard.get" => Ok(json!({"text": self.clipboard})),
            "device.clipboard.set" => {
                self.clipboard = text_param(params, "text")?.chars().take(MAX_TEXT).collect();
                ok()
            }
            "device.clipboard.clear" => {
                self.clipboard.clear();
                ok()
            }
            _ if method.starts_with("device.io.") => self.handle_input(method, params),
            _ if method.starts_with("device.apps.") => self.manage_apps(method, params),
            _ => Err(method_not_found(method)),
        }
    }

    fn handle_input(&mut self, method: &str, params: &Map<String, Value>) -> CallResult {
        match method {
            "device.io.tap" | "device.io.longpress" => {
                let (x, y) = (number_param(params, "x")?, number_param(params, "y")?);
                self.tap(x, y)
            }
            "device.io.swipe" => {
                let [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(|name| number_param(params, name));
                self.add_mark(Mark::Swipe(x1?, y1?, x2?, y2?));
                ok()
            }
            "device.io.gesture" => self.draw_gesture(params),
            "device.io.text" => {
                self.type_text(text_param(params, "text")?);
                ok()
            }
            "device.io.keys" => match params.get("keys").and_then(Value::as_array) {
                Some(keys) if !keys.is_empty() => ok(),
                _ => Err(invalid_params("keys must be a list with at least one key")),
            },
            "device.io.button" => self.press_button(text_param(params, "button")?),
            "device.io.orientation.get" => {
                Ok(json!({"orientation": if self.landscape { "landscape" } else { "portrait" }}))
            }
            "device.io.orientation.set" => {
                self.landscape = match text_param(params, "orientation")? {
                    "portrait" => false,
                    "landscape" => true,
                    _ => return Err(invalid_params("orientation must be portrait or landscape")),
                };
                self.marks.clear(); // their positions belong to the other orientation
                ok()
            }
            _ => Err(method_not_found(method)),
        }
    }

    fn manage_apps(&mut self, method: &str, params: &Map<String, Value>) -> CallResult {
        match method {
            "device.apps.list" => Ok(self.apps.iter().map(describe_app).collect()),
            "device.apps.foreground" => Ok(self.foreground_app()),
            "device.apps.launch" => {
                let id = self.find_app_id(text_param(params, "bundleId")?)?;
                self.set_foreground(Some(id));
                ok()
            }
            "device.apps.terminate" => {
                let id = self.find_app_id(text_param(params, "bundleId")?)?;
                if self.foreground.as_ref() == Some(&id) {
                    self.set_foreground(None);
                }
                ok()
            }
            "device.apps.clear" => self.find_app_id(text_param(params, "bundleId")?).and_then(|_| ok()),
            "device.apps.uninstall" => {
                let id = self.find_app_id(text_param(params, "bundleId")?)?;
                self.apps.retain(|app| app.id != id);
                if self.foreground.as_ref() == Some(&id) {
                    self.set_foreground(None);
                }
                ok()
            }
            _ => Err(method_not_found(method)),
        }
    }

    /// Installs the app that a file is named after: `shop-1.2.apk` becomes `shop`.
    pub(super) fn install(&mut self, file: &str) {
        let stem = file.split('.').next().unwrap_or(file);
        let name = stem.split(['-', '_']).next().filter(|name| !name.is_empty()).unwrap_or("app");
        let id = format!("com.example.{}", name.to_ascii_lowercase());
        self.apps.retain(|app| app.id != id);
        self.apps.push(InstalledApp { id, name: name.to_owned(), version: "1.0".to_owned() });
    }

    /// Stops the recording. Returns its length in seconds and the movie.
    pub(super) fn stop_recording(&mut self) -> Result<(u64, Vec<u8>), CallError> {
        let started = self.recording.take();
        let started = started.ok_or_else(|| host_error("no recording in progress on this device"))?;
        let seconds = started.elapsed().as_secs_f64().round().max(1.0) as u64;
        let size = screen::picture_size(self);
        Ok((
            seconds,
            movie::encode_movie(&screen::render_png(self), size, u32::try_from(seconds).unwrap_or(u32::MAX)),
        ))
    }

    fn start_recording(&mut self) -> CallResult {
        if self.recording.is_some() {
            return Err(host_error("this device is being recorded already: stop that recording first"));
        }
        self.recording = Some(now());
        ok()
    }

    /// The fields both flat and below `device`, for both kinds of client (shared/wire/mobilenext.md §3.3).
    fn info(&self) -> Value {
        let (report, (width, height)) = (&self.model.report, self.size());
        let mut info = json!({
            "id": report.serial,
            "name": report.name,
            "platform": report.platform,
            "type": report.kind,
            "version": report.version,
            "model": report.model,
            "state": "online",
            "screenSize": {"width": width, "height": height, "scale": self.model.scale},
        });
        info["device"] = info.clone();
        info
    }

    fn screenshot(&self) -> Value {
        json!({"format": "png", "data": format!("data:image/png;base64,{}", STANDARD.encode(screen::render_png(self)))})
    }

    fn dump_ui(&self, params: &Map<String, Value>) -> Value {
        let elements: Vec<Value> = screen::elements(self).iter().map(screen::Element::describe).collect();
        match params.get("format").and_then(Value::as_str) {
            Some("raw") => json!({"rawData": elements}),
            _ => json!({"elements": elements}),
        }
    }

    fn open_url(&mut self, url: &str) -> CallResult {
        self.set_foreground(Some(browser_id(self.model.platform).to_owned()));
        self.type_text(url);
        ok()
    }

    /// A tap on an icon opens its app.
    fn tap(&mut self, x: i64, y: i64) -> CallResult {
        let hit =
            screen::elements(self).into_iter().find(|element| element.contains(x, y)).and_then(|e| e.opens);
        match hit {
            Some(id) => self.set_foreground(Some(id)),
            None => self.add_mark(Mark::Tap(x, y)),
        }
        ok()
    }

    /// Draws the path of the finger. Pauses and presses do not show in a picture.
    fn draw_gesture(&mut self, params: &Map<String, Value>) -> CallResult {
        let actions = params.get("actions").and_then(Value::as_array).filter(|actions| !actions.is_empty());
        let actions =
            actions.ok_or_else(|| invalid_params("actions must be a list with at least one action"))?;
        let points: Vec<(i64, i64)> =
            actions.iter().filter_map(|a| Some((a["x"].as_f64()? as i64, a["y"].as_f64()? as i64))).collect();
        for pair in points.windows(2) {
            self.add_mark(Mark::Swipe(pair[0].0, pair[0].1, pair[1].0, pair[1].1));
        }
        ok()
    }

    fn press_button(&mut self, button: &str) -> CallResult {
        if !BUTTONS.contains(&button) {
            return Err(host_error(format!("unsupported button: {button}")));
        }
        if matches!(button, "HOME" | "BACK") {
            self.set_foreground(None);
        }
        ok()
    }

    fn set_foreground(&mut self, app: Option<String>) {
        self.foreground = app;
        self.marks.clear();
        self.text.clear();
    }

    fn foreground_app(&self) -> Value {
        let app = self.apps.iter().find(|app| Some(&app.id) == self.foreground.as_ref());
        app.map_or_else(
            || json!({"packageName": "com.example.home", "appName": "Home", "version": "1.0"}),
            describe_app,
        )
    }

    fn find_app_id(&self, id: &str) -> Result<String, CallError> {
        let app = self.apps.iter().find(|app| app.id == id);
        app.map(|app| app.id.clone()).ok_or_else(|| host_error(format!("the app {id} is not installed")))
    }

    fn type_text(&mut self, typed: &str) {
        self.text.push_str(typed);
        let surplus = self.text.chars().count().saturating_sub(MAX_TEXT);
        self.text = self.text.chars().skip(surplus).collect();
    }

    fn add_mark(&mut self, mark: Mark) {
        if self.marks.len() == MAX_MARKS {
            self.marks.remove(0);
        }
        self.marks.push(mark);
    }
}

fn ok() -> CallResult {
    Ok(json!({"status": "ok"}))
}

fn describe_app(app: &InstalledApp) -> Value {
    json!({"packageName": app.id, "appName": app.name, "version": app.version})
}

fn set_location(params: &Map<String, Value>) -> CallResult {
    let degrees = |name: &str, most: f64| {
        let value = params.get(name).and_then(Value::as_f64).filter(|value| value.abs() <= most);
        value.ok_or_else(|| invalid_params(format!("{name} must be a number from -{most} to {most}")))
    };
    Ok(json!({"latitude": degrees("latitude", 90.0)?, "longitude": degrees("longitude", 180.0)?}))
}

fn number_param(params: &Map<String, Value>, name: &str) -> Result<i64, CallError> {
    let value = params.get(name).and_then(Value::as_f64);
    value.map(|value| value as i64).ok_or_else(|| invalid_params(format!("{name} must be a number")))
}

fn text_param<'a>(params: &'a Map<String, Value>, name: &str) -> Result<&'a str, CallError> {
    params.get(name).and_then(Value::as_str).ok_or_else(|| invalid_params(format!("{name} must be a string")))
}
