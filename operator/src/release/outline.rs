//! What an agent's message would become in memory: counted in its bytes, before it is decoded.
//!
//! An empty volume is two bytes in a message, and more than two hundred once it is decoded: by the
//! time that volumes can be counted, a message of some megabytes has become a gigabyte. So its
//! fields are counted where they are, by the rules by which they will be decoded.

use axum::Error;
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use secretvault_delivery::{MAX_VOLUMES_PER_REQUEST, MAX_WATCH_HANDLES};
use tonic::Status;

use super::asked::{MAX_HELD_FILES, MAX_HELD_VAULTS};
use super::metrics::RequestOutcome;
use super::verdict::Unavailable;

/// What a request for a release has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    volumes: usize,
    /// Held by all volumes together.
    vaults: usize,
    files: usize,
}

/// Why a message is not decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// It did not come whole.
    #[error("the request's message did not arrive")]
    Broken(#[source] Error),
    /// There is no room for it.
    #[error(transparent)]
    Busy(#[from] Unavailable),
    /// It is not one message as this protocol has them.
    #[error("the request's message cannot be read")]
    Malformed,
    /// It holds or is more than a replica takes at once.
    #[error("the request is too large: ask for fewer volumes at once")]
    TooLarge,
    /// More volumes, or more handles, than a message may have.
    #[error(
        "more than {MAX_VOLUMES_PER_REQUEST} volumes, or {MAX_WATCH_HANDLES} handles, in a message"
    )]
    TooMany,
}

/// Counts what a `ReleaseRequest` has.
///
/// # Errors
/// It is more than is served at once, or no message.
pub(super) fn of_release(message: &[u8]) -> Result<Outline, Unfit> {
    let mut outline = Outline::default();
    fields(message, |tag, volume| {
        if tag != VOLUMES {
            return Ok(());
        }
        count(
            &mut outline.volumes,
            MAX_VOLUMES_PER_REQUEST,
            Unfit::TooMany,
        )?;
        fields(volume, |tag, _| match tag {
            HELD_VAULTS => count(&mut outline.vaults, MOST_VAULTS, Unfit::TooLarge),
            HELD_FILES => count(&mut outline.files, MAX_HELD_FILES, Unfit::TooLarge),
            _ => Ok(()),
        })
    })?;
    Ok(outline)
}

/// Counts the handles that a `WatchRequest` has.
///
/// # Errors
/// They are more than one message may have, or it is no message.
pub(super) fn of_watch(message: &[u8]) -> Result<usize, Unfit> {
    let mut handles = 0;
    fields(message, |tag, _| match tag {
        SUBSCRIPTIONS | DROPPED => count(&mut handles, MAX_WATCH_HANDLES, Unfit::TooMany),
        _ => Ok(()),
    })?;
    Ok(handles)
}

/// Shows each field of a message that may be a list's. The others cost no more than their bytes.
fn fields(
    mut message: &[u8],
    mut see: impl FnMut(u32, &[u8]) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    while !message.is_empty() {
        let (tag, wire_type) = decode_key(&mut message)?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
            continue;
        }
        let length = decode_varint(&mut message)?;
        let length = usize::try_from(length).map_err(|_| Unfit::Malformed)?;
        let (field, rest) = message.split_at_checked(length).ok_or(Unfit::Malformed)?;
        message = rest;
        see(tag, field)?;
    }
    Ok(())
}

fn count(seen: &mut usize, most: usize, beyond: Unfit) -> Result<(), Unfit> {
    *seen += 1;
    if *seen > most { Err(beyond) } else { Ok(()) }
}

impl From<DecodeError> for Unfit {
    fn from(_: DecodeError) -> Self {
        Self::Malformed
    }
}

impl From<&Unfit> for Status {
    fn from(unfit: &Unfit) -> Self {
        match unfit {
            Unfit::Broken(_) => Self::cancelled(unfit.to_string()),
            Unfit::Busy(cause) => cause.into(),
            Unfit::Malformed => Self::internal(unfit.to_string()),
            Unfit::TooLarge => Self::resource_exhausted(unfit.to_string()),
            Unfit::TooMany => Self::invalid_argument(unfit.to_string()),
        }
    }
}

impl From<&Unfit> for RequestOutcome {
    fn from(unfit: &Unfit) -> Self {
        match unfit {
            Unfit::Broken(_) | Unfit::Malformed | Unfit::TooLarge | Unfit::TooMany => Self::Invalid,
            Unfit::Busy(_) => Self::Unavailable,
        }
    }
}

/// As a stream's body ends with it.
impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            // It says whether the agent has ended the stream.
            Unfit::Broken(error) => error,
            Unfit::Busy(_) | Unfit::Malformed | Unfit::TooLarge | Unfit::TooMany => {
                Self::new(Status::from(&unfit))
            }
        }
    }
}

/// `ReleaseRequest.volumes`.
const VOLUMES: u32 = 1;

/// `Volume.held_vaults`.
const HELD_VAULTS: u32 = 6;

/// `Volume.held_files`.
const HELD_FILES: u32 = 7;

/// `WatchRequest.subscriptions`.
const SUBSCRIPTIONS: u32 = 1;

/// `WatchRequest.dropped`.
const DROPPED: u32 = 2;

/// Vaults that all volumes of a request hold together. Of files, all of them hold no more than one
/// may: an agent whose volumes hold more asks for each by itself.
const MOST_VAULTS: usize = MAX_VOLUMES_PER_REQUEST * MAX_HELD_VAULTS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use secretvault_delivery::v1::{
        HeldFile, HeldVault, ReleaseRequest, Subscription, Volume, WatchRequest,
    };

    use super::*;

    fn holding(vaults: usize, files: usize) -> Volume {
        let mut volume = Volume::default();
        volume.pod_token = "t-pod".to_owned();
        volume.pod = Some(secretvault_delivery::v1::PodReference::default());
        volume.defaults = Some(secretvault_delivery::v1::FileDefaults::default());
        volume.held_vaults = vec![HeldVault::default(); vaults];
        let file = HeldFile {
            vault: 7,
            entry: "a".to_owned(),
            path: "b".to_owned(),
        };
        volume.held_files = vec![file; files];
        volume
    }

    fn outline(volumes: Vec<Volume>) -> Result<Outline, Unfit> {
        of_release(&ReleaseRequest { volumes }.encode_to_vec())
    }

    fn watch(subscriptions: usize, dropped: usize) -> Vec<u8> {
        let request = WatchRequest {
            subscriptions: vec![Subscription::default(); subscriptions],
            dropped: vec![Vec::new(); dropped],
        };
        request.encode_to_vec()
    }

    #[test]
    fn what_a_request_has_is_counted() {
        let volumes = vec![
            holding(0, 0),
            holding(3, 5),
            Volume::default(),
            holding(1, 2),
        ];
        let expected = Outline {
            volumes: 4,
            vaults: 4,
            files: 7,
        };
        assert_eq!(outline(volumes).unwrap(), expected);
        assert_eq!(outline(Vec::new()).unwrap(), Outline::default());
    }

    #[test]
    fn a_request_has_at_most_64_volumes_which_hold_so_much_together() {
        assert!(outline(vec![holding(64, 250); 64]).is_ok());
        assert!(outline(vec![holding(64, MAX_HELD_FILES)]).is_ok());
        let too_many = outline(vec![Volume::default(); 65]);
        assert!(matches!(too_many, Err(Unfit::TooMany)), "{too_many:?}");
        for volumes in [
            vec![holding(0, MAX_HELD_FILES + 1)],
            vec![
                holding(0, MAX_HELD_FILES / 2),
                holding(0, MAX_HELD_FILES / 2 + 1),
            ],
            vec![holding(MOST_VAULTS + 1, 0)],
        ] {
            let too_large = outline(volumes);
            assert!(matches!(too_large, Err(Unfit::TooLarge)), "{too_large:?}");
        }
    }

    #[test]
    fn a_million_empty_volumes_are_no_request() {
        let message = [0x0a_u8, 0].repeat(1_000_000);
        let refused = of_release(&message);
        assert!(matches!(refused, Err(Unfit::TooMany)), "{refused:?}");
    }

    #[test]
    fn a_message_of_a_stream_has_so_many_handles() {
        assert_eq!(of_watch(&watch(1000, 24)).unwrap(), MAX_WATCH_HANDLES);
        for (subscriptions, dropped) in [(1025, 0), (0, 1025), (1000, 25)] {
            let refused = of_watch(&watch(subscriptions, dropped));
            assert!(matches!(refused, Err(Unfit::TooMany)), "{refused:?}");
        }
    }

    #[test]
    fn a_message_that_is_cut_is_malformed() {
        let message = ReleaseRequest {
            volumes: vec![holding(1, 1)],
        };
        let message = message.encode_to_vec();
        for length in 1..message.len() {
            let cut = of_release(&message[..length]);
            assert!(matches!(cut, Err(Unfit::Malformed)), "{length}: {cut:?}");
        }
    }

    proptest! {
        /// What is counted is what will be there, however the bytes say it.
        #[test]
        fn what_is_decoded_was_counted(bytes in prop::collection::vec(wire_byte(), 0..40)) {
            if let Ok(decoded) = ReleaseRequest::decode(bytes.as_slice()) {
                let volumes = &decoded.volumes;
                let expected = Outline {
                    volumes: volumes.len(),
                    vaults: volumes.iter().map(|volume| volume.held_vaults.len()).sum(),
                    files: volumes.iter().map(|volume| volume.held_files.len()).sum(),
                };
                prop_assert_eq!(of_release(&bytes).unwrap(), expected);
            }
            if let Ok(decoded) = WatchRequest::decode(bytes.as_slice()) {
                let handles = decoded.subscriptions.len() + decoded.dropped.len();
                prop_assert_eq!(of_watch(&bytes).unwrap(), handles);
            }
        }
    }

    /// Of the fields that are counted, of a group and of a number; and two that go on.
    const KEYS: &[u8] = &[0x0a, 0x12, 0x32, 0x3a, 0x0b, 0x0c, 0x08, 0x80, 0x8a];

    /// Often a key, a short length, or a number that goes on.
    fn wire_byte() -> impl Strategy<Value = u8> {
        prop_oneof![
            4 => prop::sample::select(KEYS),
            4 => 0_u8..8,
            1 => any::<u8>(),
        ]
    }
}
