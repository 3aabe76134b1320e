//! Settings from a YAML text, and from single keys.

use super::table::{Key, keys};
use super::value::Value as _;
use super::{Peer, Settings, validate};
use url::Url;

use crate::names::nearest;
use crate::problem::{Place, Problem, Problems};
use crate::read::tree::{self, Entry, Node, Value};

/// Key of the map from objects and hosts to URLs.
const ADDRESSES: &str = "addresses";
/// Key of the list of gateways.
const PEERS: &str = "peers";

impl Settings {
    /// Settings from a YAML text over the defaults. An empty text is the defaults; a null leaves its default.
    ///
    /// # Errors
    /// Text that is not YAML, unknown and repeated keys, values that cannot be read, and every rule of
    /// [`Settings::validate`], with line and key. The file is not named: see [`Problems::in_file`].
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut reading = Reading {
            settings: Self::default(),
            places: Vec::new(),
            problems: Vec::new(),
        };
        let documents = tree::parse(text, tree::SHALLOW);
        if documents.len() > 1 {
            reading.problem(
                Place { line: 1, column: 1 },
                "",
                "settings are one YAML document; remove `---`".to_owned(),
            );
        }
        for document in documents {
            match document {
                Ok(node) if matches!(node.value, Value::Mapping(_)) => reading.mapping(&node, ""),
                Ok(node) => {
                    let message =
                        format!("settings are a mapping of keys, not {}", node.value.kind());
                    reading.problem(node.place, "", message);
                }
                Err(error) => reading.problem(error.place, "", error.message),
            }
        }
        let Reading {
            settings,
            places,
            mut problems,
        } = reading;
        for broken in validate::broken(&settings) {
            // A rule between keys may be broken by the default of one that the file does not give.
            let place = places
                .iter()
                .rev()
                .find(|(key, _)| *key == broken.key)
                .map(|(_, place)| *place);
            problems.push(problem(
                place.unwrap_or_default(),
                &broken.key,
                broken.message,
            ));
        }
        Problems::or(problems, settings)
    }

    /// Sets one key from text, as `--set limits.maxEventBytes=1Mi` and environment variables do. Rules between keys
    /// are not checked: call [`Settings::validate`] after the last.
    ///
    /// # Errors
    /// An unknown key, with the nearest known one, or a value that cannot be read.
    pub fn apply(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        set(self, key, value).map_err(|message| problem(Place::default(), key, message))
    }

    /// Checks all rules.
    ///
    /// # Errors
    /// Every rule that is broken, with its key.
    pub fn validate(&self) -> Result<(), Problems> {
        let broken = validate::broken(self).into_iter();
        let problems = broken
            .map(|broken| problem(Place::default(), &broken.key, broken.message))
            .collect();
        Problems::or(problems, ())
    }
}

fn problem(place: Place, key: &str, message: String) -> Problem {
    Problem {
        file: String::new(),
        line: place.line,
        column: place.column,
        object: None,
        path: key.to_owned(),
        message,
    }
}

fn set(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    if let Some(entry) = name
        .strip_prefix(ADDRESSES)
        .and_then(|rest| rest.strip_prefix('.'))
    {
        settings
            .addresses
            .insert(entry.to_owned(), value.to_owned());
        return Ok(());
    }
    match keys().iter().find(|key| key.name == name) {
        Some(key) => (key.set)(settings, value),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    let group = format!("{name}.");
    if let Some(key) = keys().iter().find(|key| key.name.starts_with(&group)) {
        return format!("is a group of keys; set one of them, as `{}`", key.name);
    }
    // Two ways to go wrong: a letter in the name, or the right name in the wrong place.
    let near = nearest(name, keys().iter().map(|key| key.name)).or_else(|| {
        let wanted = name.rsplit('.').next().unwrap_or(name);
        keys()
            .iter()
            .find(|key| last(key.name) == wanted)
            .map(|key| key.name)
    });
    match near {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => "unknown key; `config/model/README.md` lists all of them".to_owned(),
    }
}

struct Reading {
    settings: Settings,
    places: Vec<(String, Place)>,
    problems: Vec<Problem>,
}

impl Reading {
    fn problem(&mut self, place: Place, key: &str, message: String) {
        self.problems.push(problem(place, key, message));
    }

    fn mapping(&mut self, node: &Node, around: &str) {
        for (index, entry) in node.entries().iter().enumerate() {
            let name = if around.is_empty() {
                entry.key.clone()
            } else {
                format!("{around}.{}", entry.key)
            };
            if node
                .entries()
                .iter()
                .take(index)
                .any(|before| before.key == entry.key)
            {
                self.problem(
                    entry.key_place,
                    &name,
                    "is given twice; keep one".to_owned(),
                );
                continue;
            }
            self.entry(entry, &name);
        }
    }

    fn entry(&mut self, entry: &Entry, name: &str) {
        let inside = |key: &&Key| {
            key.name
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let is_group = name == ADDRESSES || keys().iter().any(|key| inside(&key));
        match (scalar(&entry.node.value), &entry.node.value) {
            // A null leaves the default, but hides no typo.
            (_, Value::Null) if is_group || keys().iter().any(|key| key.name == name) => {}
            (_, Value::Mapping(_)) if is_group => self.mapping(&entry.node, name),
            (_, value) if is_group => {
                self.problem(
                    entry.key_place,
                    name,
                    format!("is a mapping of keys, not {}", value.kind()),
                );
            }
            (None, Value::Sequence(items)) if name == PEERS => self.peers(items),
            (Some(text), _) => {
                self.places.push((name.to_owned(), entry.key_place));
                if let Err(message) = set(&mut self.settings, name, &text) {
                    self.problem(entry.key_place, name, message);
                }
            }
            (None, value)
                if keys().iter().any(|key| key.name == name) || name.starts_with("addresses.") =>
            {
                let or_list = if name == PEERS { " or a list" } else { "" };
                let message = format!("needs a single value{or_list}, not {}", value.kind());
                self.problem(entry.key_place, name, message);
            }
            (None, _) => self.problem(entry.key_place, name, unknown(name)),
        }
    }

    /// Entries of `peers`: all of them or, if one is faulty, none, since rules name them by number.
    fn peers(&mut self, items: &[Node]) {
        let read = (items.iter().enumerate())
            .map(|(index, item)| self.peer(item, &format!("{PEERS}[{index}]")));
        let peers: Vec<_> = read.collect();
        self.settings.peers = peers.into_iter().collect::<Option<_>>().unwrap_or_default();
    }

    fn peer(&mut self, item: &Node, name: &str) -> Option<Peer> {
        let (mut node, mut url) = (None, None);
        let before = self.problems.len();
        for entry in item.entries() {
            let name = format!("{name}.{}", entry.key);
            let text = scalar(&entry.node.value).unwrap_or_default();
            let is_second = match entry.key.as_str() {
                "node" => node.replace(text).is_some(),
                "url" => url.replace(text).is_some(),
                _ => {
                    let message = "unknown key; an entry has `node` and `url`";
                    self.problem(entry.key_place, &name, message.to_owned());
                    continue;
                }
            };
            if is_second {
                let message = "is given twice; keep one";
                self.problem(entry.key_place, &name, message.to_owned());
            }
            self.places.push((name, entry.key_place));
        }
        let Some((node, url)) = node.zip(url) else {
            let message =
                "needs `node` and `url`, as `{node: first, url: \"http://10.0.0.1:9091\"}`";
            self.problem(item.place, name, message.to_owned());
            return None;
        };
        match Url::read(&url) {
            Ok(url) => (self.problems.len() == before).then_some(Peer { node, url }),
            Err(message) => {
                self.problem(item.place, &format!("{name}.url"), message);
                None
            }
        }
    }
}

/// The text of a single value, as it would be written on a command line.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Unsigned(value) => Some(value.to_string()),
        Value::Signed(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}
