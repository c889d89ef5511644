//! Finds secrets in bytes, in whatever form somebody may have written them.

use std::collections::BTreeSet;
use std::io::{self, Read};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// A secret that must not be anywhere, and the forms that give it away.
///
/// A long one is looked for by pieces of its start, middle and end: a part of it is a leak too.
#[derive(Clone)]
pub(crate) struct Canary {
    name: String,
    forms: Vec<Form>,
}

#[derive(Clone)]
struct Form {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Canary {
    /// A text.
    #[must_use]
    pub(crate) fn text(name: &str, text: &str) -> Self {
        let mut canary = Self::bytes(name, text.as_bytes());
        canary.forms.extend(json_forms(text));
        canary.without_doubles()
    }

    /// Any bytes.
    #[must_use]
    pub(crate) fn bytes(name: &str, bytes: &[u8]) -> Self {
        assert!(
            bytes.len() >= PIECE / 2,
            "{name} is too short to be told from others"
        );
        let canary = Self {
            name: name.to_owned(),
            forms: pieces(bytes).into_iter().flat_map(forms).collect(),
        };
        canary.without_doubles()
    }

    /// A text without anything to escape is the same in several forms: the first one stays.
    fn without_doubles(mut self) -> Self {
        let mut seen = BTreeSet::new();
        self.forms.retain(|form| seen.insert(form.bytes.clone()));
        self
    }

    /// A text that is no secret, but betrays one if it is found within base64: a claim of a token.
    #[must_use]
    pub(crate) fn within_base64(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            forms: base64_forms(text.as_bytes()),
        }
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The names of its forms.
    #[must_use]
    pub(crate) fn forms(&self) -> BTreeSet<&'static str> {
        self.forms.iter().map(|form| form.name).collect()
    }
}

fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    if bytes.len() <= 2 * PIECE {
        return vec![bytes];
    }
    let (middle, end) = (bytes.len() / 2 - PIECE / 2, bytes.len() - PIECE);
    [0, middle, end].map(|at| &bytes[at..at + PIECE]).to_vec()
}

fn forms(piece: &[u8]) -> Vec<Form> {
    let hex = |byte: &u8| format!("{byte:02x}");
    let lower: String = piece.iter().map(hex).collect();
    let decimal: Vec<String> = piece.iter().map(u8::to_string).collect();
    let mut forms = vec![
        form("plain", piece.to_vec()),
        form("hex", lower.clone().into_bytes()),
        form("HEX", lower.to_uppercase().into_bytes()),
        form(
            "numbers, as Rust prints them",
            decimal.join(", ").into_bytes(),
        ),
        form("numbers, as JSON has them", decimal.join(",").into_bytes()),
        form("numbers, as Go prints them", decimal.join(" ").into_bytes()),
        form("escaped", piece.escape_ascii().to_string().into_bytes()),
    ];
    forms.extend(base64_forms(piece));
    forms
}

/// What of a base64 text depends on these bytes alone, wherever in the encoded text they stand.
fn base64_forms(piece: &[u8]) -> Vec<Form> {
    let names = ["base64", "base64, one byte in", "base64, two bytes in"];
    let url_names = [
        "base64url",
        "base64url, one byte in",
        "base64url, two bytes in",
    ];
    let mut forms = Vec::new();
    for before in 0..3 {
        let shifted = [&vec![0; before], piece].concat();
        let alone = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
        let standard = &BASE64_STANDARD_NO_PAD.encode(&shifted)[alone.clone()];
        let url = &BASE64_URL_SAFE_NO_PAD.encode(&shifted)[alone];
        forms.push(form(names[before], standard.as_bytes().to_vec()));
        forms.push(form(url_names[before], url.as_bytes().to_vec()));
    }
    forms
}

/// As it stands in JSON: as most write it, and as Go does.
fn json_forms(text: &str) -> Vec<Form> {
    let json = serde_json::to_string(text).expect("JSON");
    let json = json.trim_matches('"');
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e");
    let go = go.replace('&', "\\u0026");
    let twice = serde_json::to_string(json).expect("JSON");
    vec![
        form("JSON", json.as_bytes().to_vec()),
        form("JSON of Go", go.into_bytes()),
        form("JSON in JSON", twice.trim_matches('"').as_bytes().to_vec()),
    ]
}

fn form(name: &'static str, bytes: Vec<u8>) -> Form {
    Form { name, bytes }
}

/// Looks for all forms of all canaries at once.
pub(crate) struct Scanner {
    forms: AhoCorasick,
    /// What each of them gives away.
    found: Vec<Found>,
    longest: usize,
}

/// A canary's name and a form's.
pub(crate) type Found = (String, &'static str);

impl Scanner {
    /// A scanner for these.
    #[must_use]
    pub(crate) fn for_all(canaries: &[Canary]) -> Self {
        let forms = canaries
            .iter()
            .flat_map(|canary| canary.forms.iter().map(move |form| (canary, form)));
        let bytes = forms.clone().map(|(_, form)| &form.bytes);
        let longest = bytes.clone().map(Vec::len).max();
        // Gigabytes are looked through: the fastest of its ways, whatever it takes to prepare.
        let mut builder = AhoCorasick::builder();
        let builder = builder.kind(Some(AhoCorasickKind::DFA));
        Self {
            forms: builder.build(bytes).expect("so few forms"),
            found: forms
                .map(|(canary, form)| (canary.name.clone(), form.name))
                .collect(),
            longest: longest.expect("something to look for"),
        }
    }

    /// What is in these bytes.
    #[must_use]
    pub(crate) fn search(&self, bytes: &[u8]) -> BTreeSet<Found> {
        let matches = self.forms.find_overlapping_iter(bytes);
        matches
            .map(|it| self.found[it.pattern().as_usize()].clone())
            .collect()
    }

    /// What is in a file, however large.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn search_file(&self, mut file: impl Read) -> io::Result<BTreeSet<Found>> {
        let mut found = BTreeSet::new();
        let mut buffer = vec![0; CHUNK];
        let mut filled = 0;
        loop {
            let read = file.read(&mut buffer[filled..])?;
            filled += read;
            if read == 0 || filled == buffer.len() {
                found.extend(self.search(&buffer[..filled]));
                // What may begin here and end in the next chunk.
                let kept = filled.min(self.longest - 1);
                buffer.copy_within(filled - kept..filled, 0);
                filled = kept;
            }
            if read == 0 {
                return Ok(found);
            }
        }
    }
}

/// Too long to be anywhere by chance.
const PIECE: usize = 16;

const CHUNK: usize = 1 << 20;
