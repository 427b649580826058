//! The content of a simulated screen, as elements and as a picture.

use serde_json::{Value, json};

use super::device::{Mark, SimulatedDevice};
use super::font;

/// The picture is drawn smaller than the screen's points by this factor in each direction, and enlarged when it is
/// encoded.
const SHRINK: u32 = 4;

type Colour = [u8; 3];

const WHITE: Colour = [255, 255, 255];
const DARK: Colour = [24, 28, 40];
const FINGER: Colour = [255, 64, 96];

/// An element of the screen, in points.
#[derive(Debug, Clone)]
pub(super) struct Element {
    kind: &'static str,
    label: String,
    rect: (i64, i64, i64, i64),
    /// The app that a tap on this element opens.
    pub(super) opens: Option<String>,
}

impl Element {
    pub(super) fn contains(&self, x: i64, y: i64) -> bool {
        let (left, top, width, height) = self.rect;
        (left..left + width).contains(&x) && (top..top + height).contains(&y)
    }

    /// The element in the shape of `device.dump.ui`.
    pub(super) fn describe(&self) -> Value {
        let (x, y, width, height) = self.rect;
        json!({
            "type": self.kind,
            "text": self.label,
            "label": self.label,
            "identifier": self.opens,
            "rect": {"x": x, "y": y, "width": width, "height": height},
            "visible": true,
            "children": [],
        })
    }
}

/// All elements: the apps on the home screen, or the title and the text field of an app.
pub(super) fn elements(device: &SimulatedDevice) -> Vec<Element> {
    let (width, height) = device.size();
    let (width, height) = (i64::from(width), i64::from(height));
    let line = height / 14;
    if let Some(id) = &device.foreground {
        let title = device.apps.iter().find(|app| app.id == *id).map_or(id.as_str(), |app| app.name.as_str());
        let element = |kind, label: &str, row: i64| Element {
            kind,
            label: label.to_owned(),
            rect: (width / 20, row * line, width * 9 / 10, line),
            opens: None,
        };
        return vec![element("StaticText", title, 1), element("TextField", &device.text, 3)];
    }
    let cell = width / 4;
    let icons = device.apps.iter().enumerate().map(|(index, app)| {
        let (column, row) = (index as i64 % 4, index as i64 / 4);
        Element {
            kind: "Icon",
            label: app.name.clone(),
            rect: (column * cell + cell / 8, line * 2 + row * cell, cell * 3 / 4, cell * 3 / 4),
            opens: Some(app.id.clone()),
        }
    });
    icons.collect()
}

/// Width and height of the picture.
pub(super) fn picture_size(device: &SimulatedDevice) -> (u32, u32) {
    let (width, height) = device.size();
    (width / SHRINK, height / SHRINK)
}

/// The screen as a PNG file.
pub(super) fn render_png(device: &SimulatedDevice) -> Vec<u8> {
    let mut picture = Picture::new(picture_size(device), app_colour(device.foreground.as_deref()));
    for element in elements(device) {
        let (x, y, width, height) = shrink_rect(element.rect);
        let fill = element.opens.as_deref().map_or(WHITE, |id| app_colour(Some(id)));
        picture.fill_rect(x, y, width, height, fill);
        let ink = if fill == WHITE { DARK } else { WHITE };
        picture.draw_text(x + 2, y + height / 3, width - 4, &element.label, ink);
    }
    for mark in &device.marks {
        match *mark {
            Mark::Tap(x, y) => picture.draw_dot(x / i64::from(SHRINK), y / i64::from(SHRINK), 5, FINGER),
            Mark::Swipe(x1, y1, x2, y2) => {
                let (x1, y1, x2, y2) = shrink_rect((x1, y1, x2, y2));
                picture.draw_line((x1, y1), (x2, y2), FINGER);
            }
        }
    }
    let orientation = if device.landscape { "landscape" } else { "portrait" };
    let caption = format!("{} {orientation}", device.model.report.name);
    let (width, height) = (i64::from(picture.width), i64::from(picture.height));
    picture.draw_text(4, height - 14, width - 8, &caption, WHITE);
    let (width, height) = device.size();
    picture.encode(width * device.model.scale, height * device.model.scale)
}

fn shrink_rect((a, b, c, d): (i64, i64, i64, i64)) -> (i64, i64, i64, i64) {
    let shrink = i64::from(SHRINK);
    (a / shrink, b / shrink, c / shrink, d / shrink)
}

/// Each app has its own colour, always the same.
fn app_colour(app: Option<&str>) -> Colour {
    let Some(app) = app else { return DARK };
    let hash =
        app.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    [hash, hash >> 8, hash >> 16].map(|part| 40 + (part & 0x7f) as u8)
}

struct Picture {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

impl Picture {
    fn new((width, height): (u32, u32), colour: Colour) -> Self {
        Self { width, height, bytes: colour.repeat((width * height) as usize) }
    }

    /// Ignores points outside of the picture: clients may tap anywhere.
    fn set_pixel(&mut self, x: i64, y: i64, colour: Colour) {
        if (0..i64::from(self.width)).contains(&x) && (0..i64::from(self.height)).contains(&y) {
            let at = (y * i64::from(self.width) + x) as usize * 3;
            self.bytes[at..at + 3].copy_from_slice(&colour);
        }
    }

    fn fill_rect(&mut self, left: i64, top: i64, width: i64, height: i64, colour: Colour) {
        for y in top..top + height {
            for x in left..left + width {
                self.set_pixel(x, y, colour);
            }
        }
    }

    fn draw_dot(&mut self, x: i64, y: i64, radius: i64, colour: Colour) {
        // A point far outside draws nothing, and its arithmetic could overflow.
        if x.abs().max(y.abs()) > 1 << 20 {
            return;
        }
        for dy in -radius..=radius {
            for dx in -radius..=radius {
                if dx * dx + dy * dy <= radius * radius {
                    self.set_pixel(x + dx, y + dy, colour);
                }
            }
        }
    }

    /// A line with a dot where the finger was lifted.
    fn draw_line(&mut self, from: (i64, i64), to: (i64, i64), colour: Colour) {
        let steps = i64::from(self.width.max(self.height));
        for step in 0..=steps {
            let along = step as f64 / steps as f64;
            let at = |from: i64, to: i64| (from as f64 + (to as f64 - from as f64) * along) as i64;
            self.draw_dot(at(from.0, to.0), at(from.1, to.1), 1, colour);
        }
        self.draw_dot(to.0, to.1, 4, colour);
    }

    /// One line of text, at most `width` wide. Each dot of the font is two pixels wide and high.
    fn draw_text(&mut self, left: i64, top: i64, width: i64, words: &str, colour: Colour) {
        let fits = usize::try_from(width / font::ADVANCE / 2).unwrap_or(0);
        for (column, letter) in words.chars().take(fits).enumerate() {
            for (x, y) in font::dots(letter) {
                let x = left + (column as i64 * font::ADVANCE + x) * 2;
                self.fill_rect(x, top + y * 2, 2, 2, colour);
            }
        }
    }

    /// Encodes the picture as PNG in the screen's own pixels: clients compute taps from the picture's size.
    fn encode(&self, width: u32, height: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Fast);
        // Writing to memory cannot fail, and the sizes are our own.
        let bytes = self.enlarge(width, height);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes));
        debug_assert!(written.is_ok());
        file
    }

    fn enlarge(&self, width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity((width * height) as usize * 3);
        for y in 0..height {
            let row = (y * self.height / height * self.width) as usize;
            for x in 0..width {
                let at = (row + (x * self.width / width) as usize) * 3;
                bytes.extend_from_slice(&self.bytes[at..at + 3]);
            }
        }
        bytes
    }
}
