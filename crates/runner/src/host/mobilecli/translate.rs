//! Calls that mean something else on the other side of the network.

use std::time::Duration;

use protocol::CallError;
use serde_json::{Map, Value, json};
use tempfile::TempPath;
use tokio::time::Instant;

use super::MobilecliDriver;
use crate::clock::now;
use crate::host::driver::{error_sentence, host_error, invalid_params};
use crate::host::files::RemoteFile;

/// A recording that runs, or that ended by its time limit and was not asked for yet.
#[derive(Debug)]
pub(super) struct Recording {
    file: TempPath,
    started: Instant,
    limit: Option<Duration>,
}

impl Recording {
    /// How long it has recorded, in whole seconds.
    fn recorded_seconds(&self) -> u64 {
        let ran = self.started.elapsed();
        self.limit.map_or(ran, |limit| ran.min(limit)).as_secs_f64().round() as u64
    }
}

impl MobilecliDriver {
    /// Fetches the app, and hands its path to `mobilecli`.
    pub(super) async fn install(&self, serial: &str, file: Option<RemoteFile>) -> Result<Value, CallError> {
        let file =
            file.ok_or_else(|| invalid_params("uploadId is required: upload the app with uploads.create"))?;
        self.save_baseline(serial).await?;
        let path = file.fetch(&self.tmp).await?;
        let params = Map::from_iter([("path".to_owned(), json!(*path))]);
        let installed = self.rpc.call_device("device.apps.install", serial, params).await;
        let local = path.to_string_lossy();
        // Its message names our temporary file, which is nothing to the client.
        installed.map(|_| json!({"status": "ok"})).map_err(|mut error| {
            error.data = error.data.map(|data| data.replace(&*local, file.name()));
            error
        })
    }

    /// Records into a temporary file.
    pub(super) async fn start_recording(
        &self,
        serial: &str,
        mut params: Map<String, Value>,
    ) -> Result<Value, CallError> {
        if self.recordings().contains_key(serial) {
            return Err(host_error("this device is being recorded already: stop that recording first"));
        }
        let file = tempfile::Builder::new().suffix(".mp4").tempfile_in(&self.tmp);
        let file =
            file.map_err(|error| host_error(format!("the device's host cannot keep a recording: {error}")))?;
        let file = file.into_temp_path();
        params.insert("output".to_owned(), json!(*file));
        let limit = params.get("timeLimit").and_then(Value::as_u64).filter(|seconds| *seconds > 0);
        let recording = Recording { file, started: now(), limit: limit.map(Duration::from_secs) };
        // Kept from now on: if this call is dropped, cleaning must still know that something may be recording.
        self.recordings().insert(serial.to_owned(), recording);
        match self.rpc.call_device("device.screenrecord", serial, params).await {
            Ok(_) => Ok(json!({"status": "ok"})),
            Err(error) => {
                self.recordings().remove(serial);
                Err(error)
            }
        }
    }

    /// Ends the recording and stores it on the server, which makes an address of it. Older versions of `mobilecli` have
    /// one recording for all devices, so a device without one must not stop somebody else's.
    pub(super) async fn stop_recording(
        &self,
        serial: &str,
        file: Option<RemoteFile>,
    ) -> Result<Value, CallError> {
        let file = file.ok_or_else(|| host_error("the server gave no place for the recording"))?;
        let recording = self.recordings().remove(serial);
        let recording = recording.ok_or_else(|| host_error("no recording in progress on this device"))?;
        let seconds = recording.recorded_seconds();
        let stopped = self.rpc.call_device("device.screenrecord.stop", serial, Map::new()).await;
        stopped.map_err(|error| host_error(format!("the recording was lost: {}", error_sentence(error))))?;
        file.store(&recording.file).await?;
        Ok(json!({"status": "ok", "duration": seconds}))
    }
}

/// `device.info` for both kinds of client: `mobilecli` reads the fields at the top, `mobilewright` below `device`
/// (seen in runs of both, see shared/wire/mobilenext.md §3.3).
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
    fn info_is_flat_and_nested_whatever_mobilecli_says() {
        let both =
            json!({"id": "s", "screenSize": {"width": 1}, "device": {"id": "s", "screenSize": {"width": 1}}});
        assert_eq!(info_in_both_shapes(json!({"id": "s", "screenSize": {"width": 1}})), both);
        assert_eq!(info_in_both_shapes(json!({"device": {"id": "s", "screenSize": {"width": 1}}})), both);
    }
}
