//! Calls that mean something else when the client is on another machine.

use std::time::Duration;

use protocol::CallError;
use serde_json::{Map, Value, json};
use tempfile::TempPath;
use tokio::time::Instant;

use super::MobilecliDriver;
use crate::clock::now;
use crate::host::driver::{error_sentence, host_error, invalid_params};
use crate::host::files::RemoteFile;

/// A recording that is running, or that has reached its time limit and was not fetched yet.
#[derive(Debug)]
pub(super) struct Recording {
    file: TempPath,
    started: Instant,
    limit: Option<Duration>,
}

impl Recording {
    /// Length of the recording, in whole seconds.
    fn length_seconds(&self) -> u64 {
        let ran = self.started.elapsed();
        self.limit.map_or(ran, |limit| ran.min(limit)).as_secs_f64().round() as u64
    }
}

impl MobilecliDriver {
    /// Downloads the app, and passes the file's path to `mobilecli`.
    pub(super) async fn install(&self, serial: &str, file: Option<RemoteFile>) -> Result<Value, CallError> {
        let file =
            file.ok_or_else(|| invalid_params("uploadId is required: upload the app with uploads.create"))?;
        self.save_baseline(serial).await?;
        let path = file.fetch(&self.tmp).await?;
        let params = Map::from_iter([("path".to_owned(), json!(*path))]);
        let installed = self.rpc.call_device("device.apps.install", serial, params).await;
        let local = path.to_string_lossy();
        // The message names our temporary file; the client knows the app by its own name.
        installed.map(|_| json!({"status": "ok"})).map_err(|mut error| {
            error.data = error.data.map(|data| data.replace(&*local, file.name()));
            error
        })
    }

    /// Records to a temporary file.
    pub(super) async fn start_recording(
        &self,
        serial: &str,
        mut params: Map<String, Value>,
    ) -> Result<Value, CallError> {
        if self.recordings().contains_key(serial) {
            return Err(host_error("this device is being recorded already: stop that recording first"));
        }
        let file = tempfile::Builder::new().suffix(".mp4").tempfile_in(&self.tmp);
        let file = file.map_err(|error| {
            host_error(format!("the device's host cannot create a file for the recording: {error}"))
        })?;
        let file = file.into_temp_path();
        params.insert("output".to_owned(), json!(*file));
        let limit = params.get("timeLimit").and_then(Value::as_u64).filter(|seconds| *seconds > 0);
        let recording = Recording { file, started: now(), limit: limit.map(Duration::from_secs) };
        // Stored before the call: if the call is dropped, cleaning must still stop a recording that may have started.
        self.recordings().insert(serial.to_owned(), recording);
        match self.rpc.call_device("device.screenrecord", serial, params).await {
            Ok(_) => Ok(json!({"status": "ok"})),
            Err(error) => {
                self.recordings().remove(serial);
                Err(error)
            }
        }
    }

    /// Stops the recording and uploads it to the server, which creates a URL for it. Older versions of `mobilecli`
    /// have one recording for all devices, so a call for a device without a recording must not stop another device's.
    pub(super) async fn stop_recording(
        &self,
        serial: &str,
        file: Option<RemoteFile>,
    ) -> Result<Value, CallError> {
        let file = file.ok_or_else(|| host_error("the server did not say where to store the recording"))?;
        let recording = self.recordings().remove(serial);
        let recording = recording.ok_or_else(|| host_error("no recording in progress on this device"))?;
        let seconds = recording.length_seconds();
        let stopped = self.rpc.call_device("device.screenrecord.stop", serial, Map::new()).await;
        stopped.map_err(|error| host_error(format!("the recording was lost: {}", error_sentence(error))))?;
        file.store(&recording.file).await?;
        Ok(json!({"status": "ok", "duration": seconds}))
    }
}

/// Returns `device.info` in the shapes of both clients: `mobilecli` reads the fields at the top, `mobilewright` below
/// `device` (seen in runs of both, see shared/wire/mobilenext.md §3.3).
pub(super) fn info_in_both_shapes(result: Value) -> Value {
    let flat = match result {
        Value::Object(mut outer) => match outer.remove("device") {
            Some(Value::Object(inner)) => inner,
            _ => outer,
        },
        other => return other,
    };
    let mut both = flat.clone();
    both.insert("device".to_owned(), Value::Object(flat));
    Value::Object(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_both_flat_and_nested() {
        let both =
            json!({"id": "s", "screenSize": {"width": 1}, "device": {"id": "s", "screenSize": {"width": 1}}});
        assert_eq!(info_in_both_shapes(json!({"id": "s", "screenSize": {"width": 1}})), both);
        assert_eq!(info_in_both_shapes(json!({"device": {"id": "s", "screenSize": {"width": 1}}})), both);
    }
}
