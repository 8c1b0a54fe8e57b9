//! Keys and signatures against RFC 8032, and the keys that nobody may register.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use data_encoding::HEXLOWER;
use lockstep_core::crypto::{KeyError, LocalSigner, PublicKey, Signature, Signer};

fn hex<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

/// RFC 8032, section 7.1, tests 1 to 3.
#[test]
fn signatures_are_those_of_rfc_8032() {
    for (secret, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let signer = LocalSigner::from_secret(hex(secret));
        let message = HEXLOWER.decode(message.as_bytes()).unwrap();
        assert_eq!(signer.public_key().to_string(), public);
        assert_eq!(PublicKey::parse(public), Ok(signer.public_key()));
        let made = signer.sign(&message).unwrap();
        assert_eq!(made.to_string(), signature);
        assert!(signer.public_key().verify(&message, &made));
        assert!(!signer.public_key().verify(b"another message", &made));
    }
}

/// All eight points of small order, in each of their encodings, second spellings included.
#[test]
fn weak_keys_are_refused() {
    for (text, canonical) in [
        ("0000000000000000000000000000000000000000000000000000000000000000", true),
        ("0000000000000000000000000000000000000000000000000000000000000080", true),
        ("0100000000000000000000000000000000000000000000000000000000000000", true),
        ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", true),
        ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", true),
        ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", true),
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", true),
        ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", true),
        ("0100000000000000000000000000000000000000000000000000000000000080", true),
        ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", true),
        ("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false),
        ("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false),
        ("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", false),
        ("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", false),
    ] {
        let expected = if canonical { KeyError::Weak } else { KeyError::NotCanonical };
        assert_eq!(PublicKey::parse(text), Err(expected), "{text}");
    }
}

/// y = 3 is on the curve and has no weak order; y = 3 + 2^255 - 19 is the same point spelled again.
#[test]
fn a_second_spelling_of_a_sound_key_is_refused() {
    let mut bytes = [0; 32];
    bytes[0] = 3;
    assert!(PublicKey::from_bytes(&bytes).is_ok());
    let mut again = [0xff; 32];
    (again[0], again[31]) = (0xf0, 0x7f);
    assert_eq!(PublicKey::from_bytes(&again), Err(KeyError::NotCanonical));
}

#[test]
fn bytes_that_are_no_point_or_no_key_are_refused() {
    let mut bytes = [0; 32];
    bytes[0] = 2;
    assert_eq!(PublicKey::from_bytes(&bytes), Err(KeyError::NotAPoint));
    for length in [0, 31, 33, 64] {
        assert!(matches!(PublicKey::from_bytes(&vec![1; length]), Err(KeyError::Form(_))));
        assert!(Signature::from_bytes(&vec![1; length * 2 + 1]).is_err());
    }
    assert!(matches!(PublicKey::parse("D75A"), Err(KeyError::Form(_))));
}

#[test]
fn no_second_signature_can_be_made_of_a_first() {
    let signer = LocalSigner::from_secret([5; 32]);
    let signature = signer.sign(b"message").unwrap();
    for at in 0..64 {
        for bit in 0..8 {
            let mut bytes = *signature.as_bytes();
            bytes[at] ^= 1 << bit;
            assert!(!signer.public_key().verify(b"message", &Signature::from_bytes(&bytes).unwrap()));
        }
    }
    // S + L is the same number to a lax verifier, and another signature to a log.
    let order = hex::<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut bytes = *signature.as_bytes();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    assert!(!signer.public_key().verify(b"message", &Signature::from_bytes(&bytes).unwrap()));
}

#[test]
fn a_secret_is_never_printed() {
    let signer = LocalSigner::from_secret([0xab; 32]);
    let printed = format!("{signer:?} {signer:#?}");
    assert!(!printed.contains("abab") && !printed.contains("171"), "{printed}");
    assert!(printed.contains(&signer.public_key().to_string()));
}
