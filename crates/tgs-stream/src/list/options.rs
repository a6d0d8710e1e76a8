//! What lists say about an entry besides its address: in- and out-point, tracks, repeats, rules of
//! random play. Values are checked here; a wrong one is ignored and reported.

use std::{ops::Deref, sync::Arc, time::Duration};

use tgs_core::{language::Language, units::parse_duration};

use super::time;

/// The longest list of languages.
const MAX_LANGUAGES: usize = 16;

/// The most plays in a row that a list may ask for.
pub(crate) const MAX_REPEATS: u32 = 1000;

/// The highest weight.
pub(crate) const MAX_WEIGHT: u32 = 100;

/// The longest text that is kept: an artist, a category, the address of a sound.
const MAX_TEXT: usize = 4096;

/// What a list says about an entry besides its address, title and HTTP headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOptions {
    /// Where the item begins, counted from the beginning of its source.
    pub in_point: Duration,
    /// Where the item ends, counted from the beginning of its source.
    pub out_point: Option<Duration>,
    /// The length of the source, or the time for which a still picture is shown.
    pub length: Option<Duration>,
    /// Languages of the sound, the preferred one first.
    pub audio_languages: Vec<String>,
    /// Languages of the subtitles, the preferred one first.
    pub subtitle_languages: Vec<String>,
    /// Whether the item plays without its sound.
    pub no_audio: bool,
    /// How often the item is played again, immediately after it.
    pub repeats: u32,
    /// The address of the sound that replaces the source's own.
    pub sound: Option<String>,
    /// The artist.
    pub artist: Option<String>,
    /// The category or group.
    pub category: Option<String>,
    /// How often a shuffled round plays the item.
    pub weight: Option<u32>,
    /// When the item interrupts the list; it is not part of the list's order.
    pub every: Option<Every>,
    /// Whether the item plays without the channel's logo.
    pub no_logo: bool,
}

/// How often an interstitial plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// After at least this much time, at the end of an item.
    Time(Duration),
    /// After so many items.
    Items(u32),
}

static NO_OPTIONS: EntryOptions = EntryOptions {
    in_point: Duration::ZERO,
    out_point: None,
    length: None,
    audio_languages: Vec::new(),
    subtitle_languages: Vec::new(),
    no_audio: false,
    repeats: 0,
    sound: None,
    artist: None,
    category: None,
    weight: None,
    every: None,
    no_logo: false,
};

impl Default for EntryOptions {
    fn default() -> Self {
        NO_OPTIONS.clone()
    }
}

/// Options that entries share: most entries have none, and all files of a folder have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedOptions(Option<Arc<EntryOptions>>);

impl From<EntryOptions> for SharedOptions {
    fn from(options: EntryOptions) -> Self {
        Self((options != NO_OPTIONS).then(|| Arc::new(options)))
    }
}

impl Deref for SharedOptions {
    type Target = EntryOptions;

    fn deref(&self) -> &EntryOptions {
        self.0.as_deref().unwrap_or(&NO_OPTIONS)
    }
}

impl SharedOptions {
    /// What the content of a page or list has of these: the entry itself comes as often as they
    /// say.
    #[must_use]
    pub fn of_content(&self) -> Self {
        match &self.0 {
            Some(options) => EntryOptions { weight: None, repeats: 0, ..(**options).clone() }.into(),
            None => Self(None),
        }
    }

    /// These options, or those of the list, page or folder that holds the entry.
    #[must_use]
    pub fn or(self, outer: &Self) -> Self {
        if self.0.is_some() { self } else { outer.clone() }
    }
}

/// A value of a list that was ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFault {
    /// From 1.
    pub line: usize,
    /// What is wrong, and the right form.
    pub what: String,
}

/// Faults reported for one list.
pub(super) const MAX_FAULTS: usize = 20;

/// Adds the fault of `line`, if any and if there is room.
pub(super) fn note<T>(faults: &mut Vec<ListFault>, line: usize, read: Result<T, String>) {
    if let Err(what) = read
        && faults.len() < MAX_FAULTS
    {
        faults.push(ListFault { line, what });
    }
}

/// A value as a message shows it: one line, cut.
pub(super) fn quoted(value: &str) -> String {
    let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(40).collect();
    format!("“{}”", clean.trim())
}

impl EntryOptions {
    /// Applies VLC's option `name=value`; a leading colon is its own form. Unknown options are
    /// ignored, as players ignore them.
    pub(super) fn set_vlc(&mut self, option: &str) -> Result<(), String> {
        let option = option.trim().trim_start_matches(':');
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').trim());
        let seconds = || {
            time::seconds(value).ok_or_else(|| {
                format!("{name} {} is not a time: write seconds, such as {name}=90.5", quoted(value))
            })
        };
        match &*name {
            "start-time" => self.in_point = seconds()?,
            "stop-time" => self.out_point = Some(seconds()?).filter(|out| !out.is_zero()),
            "run-time" => {
                let length = Some(seconds()?).filter(|length| !length.is_zero());
                self.out_point = length.map(|length| self.in_point.saturating_add(length));
            }
            "image-duration" => self.length = Some(seconds()?).filter(|length| !length.is_zero()),
            "audio-language" => self.audio_languages = languages(&name, value)?,
            "sub-language" => self.subtitle_languages = languages(&name, value)?,
            "no-audio" => self.no_audio = true,
            "audio" => self.no_audio = false,
            "input-repeat" => {
                let repeats = value.parse().ok().filter(|repeats| *repeats <= MAX_REPEATS);
                self.repeats = repeats.ok_or_else(|| {
                    format!("{name} {} must be a number from 0 to {MAX_REPEATS}", quoted(value))
                })?;
            }
            "input-slave" => self.sound = text(value),
            _ => {}
        }
        Ok(())
    }

    /// Applies this project's own rules: `weight=2`, `every=15m`, `logo=off`, separated by blanks
    /// or commas.
    pub(super) fn set_rules(&mut self, rules: &str) -> Result<(), String> {
        for rule in rules.split([' ', ',', '\t']).filter(|rule| !rule.is_empty()) {
            match rule.split_once('=') {
                Some(("weight", value)) => {
                    let weight = value.parse().ok().filter(|weight| (1..=MAX_WEIGHT).contains(weight));
                    self.weight = Some(weight.ok_or_else(|| {
                        format!(
                            "weight {} must be a whole number from 1 to {MAX_WEIGHT}, such as #TGS:weight=3",
                            quoted(value)
                        )
                    })?);
                }
                Some(("every", value)) => self.every = Some(every(value)?),
                Some(("logo", value)) => {
                    self.no_logo = match value {
                        "off" => true,
                        "on" => false,
                        _ => return Err(format!("logo {} must be on or off: #TGS:logo=off", quoted(value))),
                    };
                }
                _ => {
                    return Err(format!(
                        "#TGS knows no {}: write #TGS:weight=3, #TGS:every=15m, #TGS:every=4 or #TGS:logo=off",
                        quoted(rule)
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn set_artist(&mut self, artist: &str) {
        self.artist = text(artist).or(self.artist.take());
    }

    pub(super) fn set_category(&mut self, category: &str) {
        self.category = text(category).or(self.category.take());
    }

    /// Drops an out-point that is not after the in-point.
    pub(super) fn check(&mut self) -> Result<(), String> {
        match self.out_point {
            Some(out) if out <= self.in_point => {
                self.out_point = None;
                let (from, to) = (self.in_point.as_secs_f64(), out.as_secs_f64());
                Err(format!("it ends at {to} s, before it begins at {from} s; playing it to its end"))
            }
            _ => Ok(()),
        }
    }
}

/// A text of a list, unless it is empty or too long.
pub(super) fn text(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && value.len() <= MAX_TEXT).then(|| value.to_owned())
}

/// Codes of languages, separated by commas.
fn languages(name: &str, value: &str) -> Result<Vec<String>, String> {
    let codes: Vec<String> = value.split(',').map(|code| code.trim().to_ascii_lowercase()).collect();
    let is_code = |code: &String| {
        (2..=16).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    // VLC's own words for its default.
    if matches!(value, "any" | "none" | "") {
        return Ok(Vec::new());
    }
    // Files also have codes that no standard knows; a longer word is a name, or a mistake.
    let is_known = |code: &String| {
        let base = code.split(['-', '_']).next().unwrap_or_default();
        base.len() <= 3 || Language::parse(code).is_some()
    };
    if codes.len() > MAX_LANGUAGES || !codes.iter().all(|code| is_code(code) && is_known(code)) {
        return Err(format!("{name} {} must be codes of languages, such as {name}=ru,en", quoted(value)));
    }
    Ok(codes)
}

/// `90s`, `15m`, `1h`, or a number of items.
fn every(value: &str) -> Result<Every, String> {
    let found = match value.parse::<u32>() {
        Ok(items) => (1..=10_000).contains(&items).then_some(Every::Items(items)),
        Err(_) => parse_duration(value)
            .ok()
            .filter(|time| (Duration::from_secs(1)..=Duration::from_hours(24 * 7)).contains(time))
            .map(Every::Time),
    };
    found.ok_or_else(|| {
        format!(
            "every {} must be a time (1s to 7d) or a number of items (1 to 10000): \
             write #TGS:every=15m or #TGS:every=4",
            quoted(value)
        )
    })
}
