//! The apps that a device had before its hold installed the first one. Cleaning removes every other app.
//!
//! Baselines are stored in files, because a hold may outlive the host's process.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// The folder of baselines, one file for each device.
#[derive(Debug)]
pub(crate) struct Baselines {
    dir: PathBuf,
}

impl Baselines {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The device's baseline; `None` if its hold has not installed anything.
    pub(crate) async fn load(&self, serial: &str) -> io::Result<Option<BTreeSet<String>>> {
        match tokio::fs::read(self.path(serial)).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the baseline atomically.
    pub(crate) async fn save(&self, serial: &str, apps: &BTreeSet<String>) -> io::Result<()> {
        let path = self.path(serial);
        let new = path.with_extension("new");
        tokio::fs::write(&new, serde_json::to_vec(apps)?).await?;
        tokio::fs::rename(&new, &path).await
    }

    /// Deletes the baseline, once the device has only its original apps.
    pub(crate) async fn forget(&self, serial: &str) -> io::Result<()> {
        match tokio::fs::remove_file(self.path(serial)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Serials come from outside (`192.168.0.7:5555`): only plain characters become part of the file name.
    fn path(&self, serial: &str) -> PathBuf {
        let name: String = serial
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
                other => format!("_{other:02x}"),
            })
            .collect();
        self.dir.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_baseline_is_kept_until_forgotten_and_serials_stay_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let baselines = Baselines::new(dir.path().to_owned());
        let apps = BTreeSet::from(["com.one".to_owned()]);
        for serial in ["emulator-5554", "192.168.0.7:5555", "../../etc/passwd"] {
            baselines.save(serial, &apps).await.unwrap();
            assert_eq!(baselines.load(serial).await.unwrap(), Some(apps.clone()), "{serial}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        baselines.forget("emulator-5554").await.unwrap();
        baselines.forget("emulator-5554").await.unwrap();
        assert_eq!(baselines.load("emulator-5554").await.unwrap(), None);
    }
}
