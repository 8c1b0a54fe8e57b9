//! Checkpoints against C2SP: what a log signs, and all that nobody should believe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use data_encoding::BASE64;
use lockstep_core::crypto::{LocalSigner, Signer};
use lockstep_core::log::note::key_id;
use lockstep_core::log::{Checkpoint, CheckpointError, NoteError, empty_root, leaf_hash};

const ORIGIN: &str = "lockstep/3b4f/acme/1";

fn signer() -> LocalSigner {
    LocalSigner::from_secret([7; 32])
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 42, root: leaf_hash(b"a") }
}

fn note() -> String {
    checkpoint().sign(&signer()).unwrap()
}

/// Signs any text as the log would, so that only the text is at fault.
fn signed(text: &str) -> String {
    let blob =
        [&key_id(ORIGIN, &signer().public_key())[..], signer().sign(text.as_bytes()).unwrap().as_bytes()].concat();
    format!("{text}\n\u{2014} {ORIGIN} {}\n", BASE64.encode(&blob))
}

#[track_caller]
fn refused(note: &str) -> CheckpointError {
    let error = Checkpoint::verify(note, ORIGIN, &signer().public_key()).unwrap_err();
    let again = Checkpoint::parse(note);
    let belief_only = matches!(
        error,
        CheckpointError::OtherLog { .. } | CheckpointError::NotSigned { .. } | CheckpointError::FalseSignature { .. }
    );
    assert_eq!(again.is_ok(), belief_only, "{error}");
    error
}

#[test]
fn a_checkpoint_is_the_note_that_c2sp_describes() {
    let root = BASE64.encode(leaf_hash(b"a").as_bytes());
    let text = format!("{ORIGIN}\n42\n{root}\n");
    assert_eq!(checkpoint().to_string(), text);
    assert_eq!(note(), signed(&text));
    assert_eq!(Checkpoint::verify(&note(), ORIGIN, &signer().public_key()), Ok(checkpoint()));
    let (parsed, signatures) = Checkpoint::parse(&note()).unwrap();
    assert_eq!((parsed, signatures.len()), (checkpoint(), 1));
    assert_eq!((signatures[0].key_name.as_str(), signatures[0].signature.len()), (ORIGIN, 64));
}

/// The key and id of the example in Go's golang.org/x/mod/sumdb/note, on which C2SP's signed note is built.
#[test]
fn the_key_id_is_the_one_that_go_computes() {
    let encoded = BASE64.decode(b"ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
    let key = lockstep_core::crypto::PublicKey::from_bytes(&encoded[1..]).unwrap();
    assert_eq!(key_id("PeterNeumann", &key), [0xc7, 0x4f, 0x20, 0xa3]);
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let line = BASE64
        .decode(b"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
        .unwrap();
    let signature = lockstep_core::crypto::Signature::from_bytes(&line[4..]).unwrap();
    assert!(key.verify(text.as_bytes(), &signature));
}

#[test]
fn an_empty_log_has_the_empty_root() {
    let empty = Checkpoint { size: 0, root: empty_root(), ..checkpoint() };
    assert_eq!(Checkpoint::verify(&empty.sign(&signer()).unwrap(), ORIGIN, &signer().public_key()), Ok(empty));
    refused(&Checkpoint { size: 0, ..checkpoint() }.sign(&signer()).unwrap());
}

#[test]
fn lines_by_unknown_keys_are_passed_over_whatever_their_algorithm() {
    let witness = |blob: &[u8]| format!("\u{2014} witness.example/w1 {}\n", BASE64.encode(blob));
    let key = signer().public_key();
    for blob in [vec![1; 5], vec![2; 76], vec![3; 2_424], vec![4; 68]] {
        let after = format!("{}{}", note(), witness(&blob));
        assert_eq!(Checkpoint::verify(&after, ORIGIN, &key), Ok(checkpoint()));
        let before = note().replace("\n\n", &format!("\n\n{}", witness(&blob)));
        assert_eq!(Checkpoint::verify(&before, ORIGIN, &key), Ok(checkpoint()));
        assert_eq!(Checkpoint::parse(&before).unwrap().1.len(), 2);
    }
}

#[test]
fn a_note_without_our_signature_is_not_believed() {
    let other = LocalSigner::from_secret([8; 32]);
    assert!(matches!(refused(&checkpoint().sign(&other).unwrap()), CheckpointError::NotSigned { .. }));
    let renamed = note().replace(&format!("\u{2014} {ORIGIN}"), "\u{2014} someone");
    assert!(matches!(refused(&renamed), CheckpointError::NotSigned { .. }));
    let elsewhere = Checkpoint { origin: "lockstep/3b4f/acme/2".to_owned(), ..checkpoint() };
    assert!(matches!(refused(&elsewhere.sign(&signer()).unwrap()), CheckpointError::OtherLog { .. }));
}

#[test]
fn a_changed_text_or_signature_is_not_believed() {
    let changed = note().replace("\n42\n", "\n43\n");
    assert!(matches!(refused(&changed), CheckpointError::FalseSignature { .. }));
    let other = Checkpoint { size: 43, ..checkpoint() }.sign(&signer()).unwrap();
    let line = other.lines().last().unwrap();
    assert!(matches!(refused(&format!("{}{line}\n", note())), CheckpointError::FalseSignature { .. }));
    let short = BASE64.encode(&[&key_id(ORIGIN, &signer().public_key())[..], &[1; 63]].concat());
    let short = format!("{}\n\u{2014} {ORIGIN} {short}\n", checkpoint());
    assert!(matches!(refused(&short), CheckpointError::FalseSignature { .. }));
}

#[test]
fn no_single_byte_of_a_note_can_be_changed() {
    let note = note();
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::verify(&changed, ORIGIN, &signer().public_key()).is_err(), "{at} {bit}");
            }
        }
        if let Some(cut) = note.get(..at) {
            assert!(Checkpoint::verify(cut, ORIGIN, &signer().public_key()).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn a_text_that_is_no_checkpoint_is_refused_though_it_is_signed() {
    let root = BASE64.encode(leaf_hash(b"a").as_bytes());
    let unpadded = root.trim_end_matches('=');
    let loose = format!("{}B=", &root[..42]);
    let url = BASE64.encode(&[0xff; 32]).replace('/', "_");
    for text in [
        format!("{ORIGIN}\n42\n{root}\nextension\n"),
        format!("{ORIGIN}\n42\n{root}\n\n"),
        format!("{ORIGIN}\n42\n"),
        format!("{ORIGIN}\n42\n\n{root}\n"),
        format!("\n{ORIGIN}\n42\n{root}\n"),
        format!("\n42\n{root}\n"),
        format!("a b\n42\n{root}\n"),
        format!("a+b\n42\n{root}\n"),
        format!("{ORIGIN}\n042\n{root}\n"),
        format!("{ORIGIN}\n+42\n{root}\n"),
        format!("{ORIGIN}\n-1\n{root}\n"),
        format!("{ORIGIN}\n 42\n{root}\n"),
        format!("{ORIGIN}\n42 \n{root}\n"),
        format!("{ORIGIN}\n4_2\n{root}\n"),
        format!("{ORIGIN}\n00\n{root}\n"),
        format!("{ORIGIN}\n18446744073709551616\n{root}\n"),
        format!("{ORIGIN}\n42\n{unpadded}\n"),
        format!("{ORIGIN}\n42\n{loose}\n"),
        format!("{ORIGIN}\n42\n{url}\n"),
        format!("{ORIGIN}\n42\n {root}\n"),
        format!("{ORIGIN}\n42\n{}\n", BASE64.encode(&[1; 31])),
        format!("{ORIGIN}\n42\n{}\n", BASE64.encode(&[1; 33])),
    ] {
        assert!(matches!(refused(&signed(&text)), CheckpointError::Text { .. }), "{text:?}");
    }
}

#[test]
fn a_note_of_another_shape_is_refused() {
    let note = note();
    let (text, line) = note.split_once("\n\n").unwrap();
    let blob = line.trim_end().rsplit(' ').next().unwrap();
    let padded = blob.trim_end_matches('=');
    for wrong in [
        String::new(),
        "\n".to_owned(),
        "\n\n".to_owned(),
        format!("{text}\n"),
        format!("{text}\n\n"),
        note.trim_end().to_owned(),
        format!("{note}\n"),
        format!("{note} "),
        format!("{note}more\n"),
        note.replace('\n', "\r\n"),
        note.replace('\u{2014}', "-"),
        note.replace("\u{2014} ", "\u{2014}"),
        note.replace("\u{2014} ", "\u{2014}  "),
        note.replace("\u{2014} ", " \u{2014} "),
        format!("{text}\n\n\u{2014} {ORIGIN}\n"),
        format!("{text}\n\n\u{2014} {ORIGIN} \n"),
        format!("{text}\n\n\u{2014} {ORIGIN} {blob} \n"),
        format!("{text}\n\n\u{2014} {ORIGIN} {blob} x\n"),
        format!("{text}\n\n\u{2014} {ORIGIN} {blob}=\n"),
        format!("{text}\n\n\u{2014} a+b {blob}\n"),
        format!("{text}\n\n\u{2014} a\u{a0}b {blob}\n"),
        format!("{text}\n\n\u{2014} {ORIGIN} AAAAAA==\n"),
        format!("{text}\n\n\u{2014} {ORIGIN} AAAAAAA\n"),
        format!("{text}\n\n\u{2014} {ORIGIN} {}\n", padded.replace(&padded[..1], "-")),
        note.replace(ORIGIN, "lockstep\0x"),
        note.replace(ORIGIN, "lockstep\u{85}x"),
        format!("{}{}", note, "\u{2014} w AAAAAAA=\n".repeat(10_000)),
    ] {
        let error = refused(&wrong);
        assert!(matches!(error, CheckpointError::Note(_)), "{wrong:.200?}: {error}");
        assert!(error.to_string().len() < 400);
    }
}

#[test]
fn an_origin_that_no_note_can_carry_is_not_signed() {
    for origin in ["", "a b", "a\nb", "a+b", "a\u{2003}b"] {
        let error = Checkpoint { origin: origin.to_owned(), ..checkpoint() }.sign(&signer()).unwrap_err();
        assert!(matches!(error, CheckpointError::Note(NoteError::KeyName { .. })));
    }
}
