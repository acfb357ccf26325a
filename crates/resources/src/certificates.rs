use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The certificates of a text in PEM, in its order; at least one.
///
/// # Errors
/// One of them cannot be read, or there is none. The error shows nothing of the text: it may be a key.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        Err(_) => Err("it is no PEM certificate"),
        Ok(chain) if chain.is_empty() => Err("it holds no PEM certificate"),
        Ok(chain) => Ok(chain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_read_or_none() {
        let make = || rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (one, two) = (make(), make());
        let both = format!("{}text between\n{}", one.cert.pem(), two.cert.pem());
        let expected = vec![one.cert.der().clone(), two.cert.der().clone()];
        assert_eq!(certificates(both.as_bytes()), Ok(expected));
        let cut = both.trim_end().strip_suffix("-----END CERTIFICATE-----").unwrap();
        assert_eq!(certificates(cut.as_bytes()), Err("it is no PEM certificate"), "half a chain is none");
        for none in ["", "text", &one.signing_key.serialize_pem()] {
            assert_eq!(certificates(none.as_bytes()), Err("it holds no PEM certificate"), "{none}");
        }
    }
}
