//! The methods and parameters of `mobilecli` that remote clients may use.
//!
//! `mobilecli` is made for the person at this machine: some of its methods and parameters name local files. Remote
//! clients must not reach those, so methods are allowed one by one, and parameters that name a path are dropped.
//! Streams (`device.screencapture`, `device.logs`) are not calls and not allowed.

use protocol::CallError;
use serde_json::{Map, Value};

use crate::host::driver::{invalid_params, method_not_found};

/// The allowed methods.
const ALLOWED_METHODS: &[&str] = &[
    "device.apps.clear",
    "device.apps.foreground",
    "device.apps.install",
    "device.apps.launch",
    "device.apps.list",
    "device.apps.terminate",
    "device.apps.uninstall",
    "device.boot",
    "device.clipboard.clear",
    "device.clipboard.get",
    "device.clipboard.set",
    "device.crashes.get",
    "device.crashes.list",
    "device.dump.ui",
    "device.info",
    "device.io.button",
    "device.io.gesture",
    "device.io.keys",
    "device.io.longpress",
    "device.io.orientation.get",
    "device.io.orientation.set",
    "device.io.swipe",
    "device.io.tap",
    "device.io.text",
    "device.location.clear",
    "device.location.set",
    "device.reboot",
    "device.screenrecord",
    "device.screenrecord.stop",
    "device.screenshot",
    "device.settings.apply",
    "device.shutdown",
    "device.url",
    "device.webview.content",
    "device.webview.evaluate",
    "device.webview.goBack",
    "device.webview.goForward",
    "device.webview.goto",
    "device.webview.list",
    "device.webview.query",
    "device.webview.reload",
    "device.webview.title",
    "device.webview.url",
    "device.webview.waitForLoadState",
];

/// Parameters of those methods that name files, keys or certificates of this machine, and the client's own device id.
const DROPPED_PARAMS: [&str; 6] =
    ["deviceId", "output", "provisioningProfile", "signingIdentity", "forceResign", "recordingId"];

/// The parameters that remain after the check.
#[derive(Debug, PartialEq)]
pub(super) struct AllowedParams {
    pub(super) params: Map<String, Value>,
}

/// Checks a call of a device of this kind (`real`, `emulator` or `simulator`, if it is known).
pub(super) fn check_call(
    method: &str,
    mut params: Map<String, Value>,
    kind: Option<&str>,
) -> Result<AllowedParams, CallError> {
    if !ALLOWED_METHODS.contains(&method) {
        return Err(method_not_found(method));
    }
    // Simulators share the crash reports of the whole machine.
    if method.starts_with("device.crashes.") && !matches!(kind, Some("real" | "emulator")) {
        return Err(method_not_found(method));
    }
    if method == "device.crashes.get" && !params.get("id").and_then(Value::as_str).is_some_and(is_plain_name)
    {
        return Err(invalid_params("id must be an id from device.crashes.list"));
    }
    // A browser in a simulator can read the files of this machine.
    if let Some(url) = params.get("url").and_then(Value::as_str)
        && url.trim_start().to_ascii_lowercase().starts_with("file:")
    {
        return Err(invalid_params("file: addresses are not opened"));
    }
    params.retain(|name, _| !DROPPED_PARAMS.contains(&name.as_str()) && !names_a_path(name));
    Ok(AllowedParams { params })
}

/// Newer versions of `mobilecli` may have parameters that are not listed above: drops those that sound like a path.
fn names_a_path(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["path", "file", "dir", "folder"].iter().any(|word| name.ends_with(word))
}

/// `mobilecli` makes a file name of a crash report's id.
fn is_plain_name(id: &str) -> bool {
    !id.is_empty() && !id.contains("..") && !id.contains(['/', '\\', '*', '?', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::driver::{INVALID_PARAMS, METHOD_NOT_FOUND};
    use serde_json::json;

    fn check_json(method: &str, params: Value, kind: &str) -> Result<Value, i64> {
        let Value::Object(params) = params else { panic!("params are objects") };
        check_call(method, params, Some(kind))
            .map(|checked| Value::Object(checked.params))
            .map_err(|error| error.code)
    }

    #[test]
    fn parameters_that_name_paths_of_the_host_are_dropped() {
        let table = [
            ("device.io.tap", json!({"x": 1, "y": 2, "deviceId": "other"}), json!({"x": 1, "y": 2})),
            (
                "device.screenshot",
                json!({"format": "png", "output": "/etc/cron.d/x"}),
                json!({"format": "png"}),
            ),
            (
                "device.screenrecord",
                json!({"timeLimit": 5, "output": "/root/x.mp4"}),
                json!({"timeLimit": 5}),
            ),
            (
                "device.apps.install",
                json!({"path": "/etc/passwd", "uploadId": "u"}),
                json!({"uploadId": "u"}),
            ),
            (
                "device.apps.install",
                json!({"provisioningProfile": "/x", "signingIdentity": "me", "forceResign": true}),
                json!({}),
            ),
            (
                "device.dump.ui",
                json!({"format": "raw", "outputPath": "/x", "logFile": "y"}),
                json!({"format": "raw"}),
            ),
            ("device.io.text", json!({"text": "/etc/passwd"}), json!({"text": "/etc/passwd"})),
        ];
        for (method, params, expected) in table {
            assert_eq!(check_json(method, params, "real"), Ok(expected), "{method}");
        }
    }

    #[test]
    fn methods_that_reach_the_host_are_refused() {
        let table = [
            ("device.fs.pull", json!({"remotePath": "/sdcard/x"}), "real"),
            ("device.fs.push", json!({"remotePath": "/sdcard/x"}), "real"),
            ("device.fs.ls", json!({}), "simulator"),
            ("device.apps.path", json!({"bundleId": "x"}), "simulator"),
            ("device.crashes.list", json!({}), "simulator"),
            ("device.screencapture", json!({}), "real"),
            ("server.shutdown", json!({}), "real"),
            ("devices.list", json!({}), "real"),
            ("fleet.allocate", json!({}), "real"),
        ];
        for (method, params, kind) in table {
            assert_eq!(check_json(method, params, kind), Err(METHOD_NOT_FOUND), "{method}");
        }
    }

    #[test]
    fn crash_ids_and_urls_do_not_reach_files_of_the_host() {
        for id in ["../x", "a/b", "", "*", "..\\x"] {
            assert_eq!(
                check_json("device.crashes.get", json!({ "id": id }), "real"),
                Err(INVALID_PARAMS),
                "{id}"
            );
        }
        assert!(check_json("device.crashes.get", json!({"id": "App-2026-01-01-101010.ips"}), "real").is_ok());
        for url in ["file:///etc/passwd", " FILE:/etc/passwd"] {
            assert_eq!(check_json("device.url", json!({ "url": url }), "simulator"), Err(INVALID_PARAMS));
        }
        assert!(check_json("device.url", json!({"url": "https://example.org"}), "simulator").is_ok());
    }
}
