//! What holds for every envelope, whatever its value and names.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proptest::prelude::*;
use secretvault_envelope::{
    Binding, DataKeyPayload, Dek, DekId, EntryKey, Envelope, OpenError, Plaintext, SaltedBox,
    VaultBinding,
};

proptest! {
    #[test]
    fn a_value_of_any_length_survives(value in values(), names in names(), key: [u8; 32]) {
        let dek = Dek::from_bytes(&key);
        let sealed = seal(&dek, &names, &value);
        let read: Envelope = sealed.to_string().parse().unwrap();
        let entry_key = dek.entry_key(&binding(&names), &read);
        let opened = read.open(&entry_key, &binding(&names)).unwrap();
        prop_assert_eq!(opened.expose(), value);
    }

    #[test]
    fn whatever_is_read_is_written_as_it_was(text in "sv1:[A-Za-z0-9_-]{140,240}") {
        if let Ok(envelope) = text.parse::<Envelope>() {
            prop_assert_eq!(envelope.to_string(), text);
        }
    }

    #[test]
    fn a_text_changed_in_one_byte_is_refused_or_another_envelope(
        value in values(),
        place: prop::sample::Index,
        byte in 0_u8..128,
    ) {
        let sealed = seal(&dek(), &names_of("app"), &value);
        let mut changed = sealed.to_string().into_bytes();
        let place = place.index(changed.len());
        prop_assume!(changed[place] != byte);
        changed[place] = byte;
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(read) = changed.parse::<Envelope>() {
            prop_assert_ne!(&read, &sealed);
            prop_assert_eq!(read.to_string(), changed);
            let opened = read.open_with_dek(&dek(), &binding(&names_of("app")));
            prop_assert_eq!(opened.unwrap_err(), OpenError);
        }
    }

    #[test]
    fn a_box_with_one_flipped_bit_does_not_open(
        value in values(),
        place: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let sealed = seal(&dek(), &names_of("app"), &value).to_string();
        let mut bytes = decode(&sealed["sv1:".len()..]);
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let flipped: Envelope = format!("sv1:{}", encode(&bytes)).parse().unwrap();
        let opened = flipped.open_with_dek(&dek(), &binding(&names_of("app")));
        prop_assert_eq!(opened.unwrap_err(), OpenError);
    }

    #[test]
    fn an_envelope_opens_at_no_other_place(here in names(), there in names()) {
        prop_assume!(here != there);
        let sealed = seal(&dek(), &here, b"hunter2");
        prop_assert_eq!(sealed.open_with_dek(&dek(), &binding(&there)).unwrap_err(), OpenError);
        let key = dek().entry_key(&binding(&here), &sealed);
        prop_assert_eq!(sealed.open(&key, &binding(&there)).unwrap_err(), OpenError);
    }

    #[test]
    fn any_one_changed_part_of_the_place_keeps_it_shut(
        here in names(),
        part in 0_usize..4,
        other in ".{0,20}",
    ) {
        prop_assume!(here[part] != other);
        let mut there = here.clone();
        there[part] = other;
        let sealed = seal(&dek(), &here, b"hunter2");
        prop_assert_eq!(sealed.open_with_dek(&dek(), &binding(&there)).unwrap_err(), OpenError);
    }

    #[test]
    fn no_other_entry_key_opens(key: [u8; 32], more: [u8; 12]) {
        let sealed = seal(&dek(), &names_of("app"), b"hunter2");
        let key = EntryKey::try_from([key.as_slice(), &more].concat().as_slice()).unwrap();
        let opened = sealed.open(&key, &binding(&names_of("app")));
        prop_assert_eq!(opened.unwrap_err(), OpenError);
    }

    #[test]
    fn a_payload_gives_its_key_back_to_its_own_vault_only(
        here in names(),
        there in names(),
        id: [u8; 16],
        key: [u8; 32],
    ) {
        let (id, dek) = (DekId::from_bytes(id), Dek::from_bytes(&key));
        let payload = DataKeyPayload::encode(&vault(&here), id, &dek);
        prop_assert_eq!(DataKeyPayload::decode(&payload, &vault(&here), id).unwrap(), dek);
        prop_assume!(vault(&here) != vault(&there));
        prop_assert!(DataKeyPayload::decode(&payload, &vault(&there), id).is_err());
    }

    #[test]
    fn nothing_that_is_read_or_decoded_panics(text in ".{0,300}", bytes: Vec<u8>) {
        let _ = text.parse::<Envelope>();
        let _ = format!("sv1:{text}").parse::<Envelope>();
        let _ = text.parse::<DekId>();
        let _ = SaltedBox::decode(&text, usize::MAX);
        let id = DekId::from_bytes([0; 16]);
        let names = names_of("app");
        let _ = DataKeyPayload::decode(&Plaintext::from(bytes), &vault(&names), id);
    }
}

type Names = [String; 4];

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(any::<u8>(), 0..5000),
    ]
}

/// Short names of few letters, so that neighbours and exchanged parts are frequent.
fn names() -> impl Strategy<Value = Names> {
    prop_oneof![
        ["[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}", "[ab]{0,2}"],
        [
            ".{0,20}",
            "[a-z0-9-]{1,63}",
            "[a-z0-9.-]{1,253}",
            "[A-Za-z0-9._/-]{1,253}"
        ],
    ]
}

fn names_of(vault: &str) -> Names {
    ["scope", "shop", vault, "db/password"].map(str::to_owned)
}

fn seal(dek: &Dek, names: &Names, value: &[u8]) -> Envelope {
    Envelope::seal(dek, &binding(names), &Plaintext::from(value)).unwrap()
}

fn vault(names: &Names) -> VaultBinding<'_> {
    let [scope, namespace, vault, _] = names;
    VaultBinding::new(scope, namespace, vault)
}

fn binding(names: &Names) -> Binding<'_> {
    vault(names).entry(&names[3])
}

fn dek() -> Dek {
    Dek::from_bytes(&[7; 32])
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
