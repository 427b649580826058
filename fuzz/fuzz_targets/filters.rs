//! Filters: Devin's query in its three dialects, Everruns' query, and the filters of devices. Any input is parsed
//! or refused, and parsing the written form gives the same filter.
#![no_main]

use domain::device::{DeviceFilter, DeviceFilters, DeviceProfile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    server::fuzzing::filters(text);
    let Ok(filters) = serde_json::from_str::<Vec<DeviceFilter>>(text) else { return };
    let Ok(wanted) = DeviceFilters::new(filters) else { return };
    let offer = DeviceProfile {
        platform: wanted.platform().to_owned(),
        kind: "real".to_owned(),
        name: "Pixel 9".to_owned(),
        version: "16.1.2".to_owned(),
    };
    assert_eq!(wanted.matches(&offer), wanted.matches(&offer));
    let _ = wanted.describe();
    assert_eq!(DeviceFilters::new(wanted.as_slice().to_vec()).as_ref(), Ok(&wanted));
});
