//! Envelopes that open, and many that do not.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;

use super::{DEK, SCOPE, binding, dek, hex};
use crate::binding::length_prefix;
use crate::{Binding, Envelope, Plaintext, SaltedBox};

pub(super) fn all() -> Vec<EnvelopeVector> {
    let mut envelopes = good_envelopes();
    envelopes.extend(moved_envelopes());
    envelopes.extend(misspelled_envelopes());
    envelopes.extend(cut_envelopes());
    envelopes.extend(badly_padded_envelopes());
    envelopes
}

/// An envelope, where it is said to belong, and its value, or `None` if it must not open there.
#[derive(Clone, Serialize)]
pub(super) struct EnvelopeVector {
    name: String,
    dek: String,
    scope: String,
    namespace: String,
    vault: String,
    entry: String,
    envelope: String,
    value: Option<String>,
}

impl EnvelopeVector {
    fn sealed(name: &str, binding: Binding<'_>, value: &[u8], salt: u8) -> Self {
        let value_text = Some(hex(value));
        let value = Plaintext::from(value);
        let envelope = Envelope::seal_with_salt(&dek(), &binding, &value, [salt; 32]);
        let envelope = envelope.expect("the value is short").to_string();
        Self {
            name: name.to_owned(),
            dek: hex(&DEK),
            scope: binding.scope.to_owned(),
            namespace: binding.namespace.to_owned(),
            vault: binding.vault.to_owned(),
            entry: binding.entry.to_owned(),
            envelope,
            value: value_text,
        }
    }

    /// Says that it must not open, and why.
    fn refused(mut self, name: &str, change: impl FnOnce(&mut Self)) -> Self {
        self.name = name.to_owned();
        self.value = None;
        change(&mut self);
        self
    }

    fn respelled(self, name: &str, respell: impl FnOnce(&str) -> String) -> Self {
        self.refused(name, |vector| vector.envelope = respell(&vector.envelope))
    }
}

fn good_envelopes() -> Vec<EnvelopeVector> {
    let seal =
        |name: &str, value: &[u8], salt| EnvelopeVector::sealed(name, binding(), value, salt);
    let mut made = vec![
        seal("an empty value", b"", 1),
        seal("one byte", b"x", 2),
        seal("text", b"hunter2", 3),
        seal("text that ends with a line's end", b"hunter2\n", 4),
        seal("UTF-8", "pässwörd 🔑".as_bytes(), 5),
        seal("binary", &(0..=255).collect::<Vec<u8>>(), 6),
        seal("zeros, as the padding", &[0; 32], 7),
    ];
    for (length, salt) in [
        (59, 8),
        (60, 9),
        (61, 10),
        (63, 11),
        (64, 12),
        (65, 13),
        (124, 14),
    ] {
        made.push(seal(&format!("{length} bytes"), &vec![b'x'; length], salt));
    }
    // What the refused vectors were made of: each of those differs from one of these in one thing.
    made.extend([
        seal(
            "a box whose text has underscores and unused bits",
            b"hunter2",
            0xff,
        ),
        seal("a box whose text has no unused bits", &[b'x'; 150], 18),
        seal("a box of two steps", &[b'x'; 100], 19),
        seal("the shortest padding", b"hunter2", 20),
    ]);
    let (name, entry) = (
        "v".repeat(253),
        format!("{}/{}", "e".repeat(126), "f".repeat(126)),
    );
    let namespace = "n".repeat(63);
    let longest = Binding::new(SCOPE, &namespace, &name, &entry);
    made.push(EnvelopeVector::sealed(
        "the longest names",
        longest,
        b"hunter2",
        15,
    ));
    let empty = Binding::new("", "", "", "");
    made.push(EnvelopeVector::sealed("empty names", empty, b"hunter2", 16));
    let foreign = Binding::new("ключ", "пространство", "сейф", "пароль");
    made.push(EnvelopeVector::sealed(
        "names whose bytes outnumber their letters",
        foreign,
        b"x",
        17,
    ));
    made
}

fn moved_envelopes() -> Vec<EnvelopeVector> {
    let text = EnvelopeVector::sealed("", binding(), b"hunter2", 3);
    let other_scope = "ffffffffffffffffffffffffffffffff";
    let moved = |name, change: fn(&mut EnvelopeVector)| text.clone().refused(name, change);
    vec![
        moved("moved to another entry", |to| {
            to.entry = "smtp/token".to_owned();
        }),
        moved("moved to an entry that it begins", |to| to.entry += "2"),
        moved("moved to a vault", |to| to.vault = "web".to_owned()),
        moved("moved to a namespace", |to| {
            to.namespace = "batch".to_owned();
        }),
        text.clone()
            .refused("moved to a scope", |to| to.scope = other_scope.to_owned()),
        moved("a letter moved from vault to entry", |to| {
            to.vault = "ap".to_owned();
            to.entry = "pdb/password".to_owned();
        }),
        moved("namespace and vault exchanged", |to| {
            std::mem::swap(&mut to.namespace, &mut to.vault);
        }),
        moved("another data key", |to| to.dek = hex(&[0xff; 32])),
        moved("a data key that differs in its last bit", |to| {
            to.dek = hex(&DEK).replace("1f", "1e");
        }),
    ]
}

fn misspelled_envelopes() -> Vec<EnvelopeVector> {
    // The box of salt 0xff begins with `_` and has unused bits; the one of 60 bytes is as long.
    let odd = EnvelopeVector::sealed("", binding(), b"hunter2", 0xff);
    // A box of 240 bytes is 80 whole groups of base64.
    let even = EnvelopeVector::sealed("", binding(), &[b'x'; 150], 18);
    let prefix = |name, prefix: &str| {
        odd.clone()
            .respelled(name, |text| text.replace("sv1:", prefix))
    };
    let respelled = |name, respell: fn(&str) -> String| odd.clone().respelled(name, respell);
    vec![
        prefix("a later version", "sv2:"),
        prefix("the prefix of values sealed for Git", "git1:"),
        prefix("no prefix", ""),
        prefix("the prefix in capitals", "SV1:"),
        prefix("the prefix twice", "sv1:sv1:"),
        respelled("unused bits that are not zero", next_last_letter),
        respelled("padding", |text| format!("{text}==")),
        respelled("half a padding", |text| format!("{text}=")),
        even.respelled("padding where none is due", |text| format!("{text}====")),
        respelled("the standard alphabet", |text| {
            text.replace('_', "/").replace('-', "+")
        }),
        respelled("a line's end after it", |text| format!("{text}\n")),
        respelled("a space before it", |text| format!(" {text}")),
        respelled("a space behind the prefix", |text| {
            text.replace("sv1:", "sv1: ")
        }),
        respelled("a line's end within it", |text| {
            format!("{}\n{}", &text[..40], &text[40..])
        }),
        respelled("a letter outside of the alphabet", |text| {
            format!("{}*{}", &text[..40], &text[41..])
        }),
        respelled("a letter outside of ASCII", |text| {
            format!("{}é{}", &text[..40], &text[42..])
        }),
        respelled("a NUL after it", |text| format!("{text}\0")),
        respelled("empty text", |_| String::new()),
    ]
}

fn cut_envelopes() -> Vec<EnvelopeVector> {
    let text = EnvelopeVector::sealed("", binding(), &[b'x'; 100], 19);
    let whole = SaltedBox::decode(&text.envelope["sv1:".len()..], 1000).expect("a box");
    let whole = whole.to_bytes();
    let spelled = |name: &str, bytes: &[u8]| {
        text.clone().refused(name, |vector| {
            vector.envelope = format!("sv1:{}", base64url(bytes));
        })
    };
    let cut = |name: &str, length: usize| spelled(name, &whole[..length]);
    let flip = |name: &str, index: usize| {
        let mut flipped = whole.clone();
        flipped[index] ^= 1;
        spelled(name, &flipped)
    };
    vec![
        cut("nothing behind the prefix", 0),
        cut("cut within the salt", 31),
        cut("cut behind the salt", 32),
        cut("salt and a tag's length", 48),
        cut("cut within the ciphertext", 100),
        cut("cut before the tag", whole.len() - 16),
        cut("cut by 64 bytes", whole.len() - 64),
        cut("cut by one byte", whole.len() - 1),
        text.clone().respelled("cut by one letter", |text| {
            text[..text.len() - 1].to_owned()
        }),
        spelled("a trailing byte", &[whole.as_slice(), &[0]].concat()),
        spelled("64 trailing bytes", &[whole.as_slice(), &[0; 64]].concat()),
        flip("a bit of the salt flipped", 0),
        flip("a bit of the ciphertext flipped", 32),
        flip("a bit of the tag flipped", whole.len() - 1),
    ]
}

/// Envelopes that were made with the right key, by somebody who pads in another way.
fn badly_padded_envelopes() -> Vec<EnvelopeVector> {
    let text = EnvelopeVector::sealed("", binding(), b"hunter2", 20);
    let padded = |name: &str, length: usize, value: &[u8], total: usize| {
        let mut padded = [&length_prefix(length), value].concat();
        padded.resize(total, 0);
        raw(&text, name, &padded)
    };
    let mut dirty = [b"\0\0\0\x07hunter2".as_slice(), &[0; 53]].concat();
    dirty[63] = 1;
    vec![
        raw(&text, "padding whose last byte is not zero", &dirty),
        raw(
            &text,
            "padding whose first byte is not zero",
            &[b"\0\0\0\x06hunter2".as_slice(), &[0; 53]].concat(),
        ),
        padded("64 bytes of padding more than needed", 7, b"hunter2", 128),
        padded("a value of 60 bytes with padding", 60, &[b'x'; 60], 128),
        padded("a length one beyond the end", 61, &[b'x'; 60], 64),
        padded("a length far beyond the end", 0xffff_ffff, b"hunter2", 64),
        padded("padding to less than 64 bytes", 7, b"hunter2", 16),
        padded("no padding", 7, b"hunter2", 11),
        raw(
            &text,
            "a length that is little-endian",
            &[b"\x07\0\0\0hunter2".as_slice(), &[0; 53]].concat(),
        ),
        raw(&text, "nothing at all", b""),
        raw(&text, "less than a length", b"\0\0\0"),
        raw(
            &text,
            "no length",
            &[b"hunter2".as_slice(), &[0; 57]].concat(),
        ),
    ]
}

fn raw(like: &EnvelopeVector, name: &str, padded: &[u8]) -> EnvelopeVector {
    let context = binding().context();
    let sealed = SaltedBox::seal_with_salt(dek().root(), &context, [20; 32], padded);
    let envelope = format!("sv1:{}", sealed.expect("short"));
    like.clone()
        .refused(name, |vector| vector.envelope = envelope)
}

/// Replaces the last letter by the next of the alphabet, whose unused bits differ.
fn next_last_letter(text: &str) -> String {
    let (rest, last) = text.split_at(text.len() - 1);
    let position = ALPHABET.find(last).expect("a letter of the alphabet");
    format!("{rest}{}", &ALPHABET[position + 1..position + 2])
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
