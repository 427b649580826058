//! The models of simulated devices. Each name says that it is simulated and each type is `emulator` or `simulator`: a
//! request for real devices must never get one of these.

use protocol::DeviceReport;

/// The operating system of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Android,
    Ios,
}

/// A new device.
#[derive(Debug, Clone)]
pub(super) struct DeviceModel {
    pub(super) platform: Platform,
    pub(super) report: DeviceReport,
    /// Width and height in points, the unit of taps.
    pub(super) size: (u32, u32),
    /// Pixels per point.
    pub(super) scale: u32,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstalledApp {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
}

/// Name, model, version, and the screen in points.
type CatalogEntry = (&'static str, &'static str, &'static str, (u32, u32));

const ANDROID: [CatalogEntry; 4] = [
    ("Pixel 9", "Pixel 9", "16", (1080, 2424)),
    ("Pixel 8", "Pixel 8", "15", (1080, 2400)),
    ("Galaxy S23", "SM-S911B", "14", (1080, 2340)),
    ("Pixel 6a", "Pixel 6a", "13", (1080, 2400)),
];

const IOS: [CatalogEntry; 4] = [
    ("iPhone 16", "iPhone17,3", "18.5", (393, 852)),
    ("iPhone 15", "iPhone15,4", "17.5", (393, 852)),
    ("iPhone 16 Pro", "iPhone17,1", "18.1", (402, 874)),
    ("iPhone SE", "iPhone14,6", "17.0", (375, 667)),
];

/// The device with this number. Serials contain the host's name, because two hosts may serve one organization.
pub(super) fn device_model(host: &str, platform: Platform, index: u16) -> DeviceModel {
    let (word, kind, table, scale) = match platform {
        Platform::Android => ("android", "emulator", ANDROID, 1),
        Platform::Ios => ("ios", "simulator", IOS, 3),
    };
    let (name, model, version, size) = table[usize::from(index) % table.len()];
    let host: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let report = DeviceReport {
        serial: format!("{host}-{word}-{}", u32::from(index) + 1),
        platform: word.to_owned(),
        kind: kind.to_owned(),
        name: format!("{name} (simulated)"),
        model: model.to_owned(),
        version: version.to_owned(),
        online: true,
    };
    DeviceModel { platform, report, size, scale }
}

/// The apps of a new device.
pub(super) fn factory_apps(platform: Platform) -> Vec<InstalledApp> {
    let list: [(&str, &str); 4] = match platform {
        Platform::Android => [
            ("com.android.settings", "Settings"),
            ("com.android.chrome", "Chrome"),
            ("com.google.android.contacts", "Contacts"),
            ("com.google.android.deskclock", "Clock"),
        ],
        Platform::Ios => [
            ("com.apple.Preferences", "Settings"),
            ("com.apple.mobilesafari", "Safari"),
            ("com.apple.MobileAddressBook", "Contacts"),
            ("com.apple.mobiletimer", "Clock"),
        ],
    };
    list.map(|(id, name)| InstalledApp {
        id: id.to_owned(),
        name: name.to_owned(),
        version: "1.0".to_owned(),
    })
    .to_vec()
}

/// The id of the browser, which opens URLs.
pub(super) fn browser_id(platform: Platform) -> &'static str {
    match platform {
        Platform::Android => "com.android.chrome",
        Platform::Ios => "com.apple.mobilesafari",
    }
}
