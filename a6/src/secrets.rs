use std::sync::Arc;

use a6_resources::Catalogue;
use a6_secrets::{Keeper, Secrets};
use a6_settings::{Settings, Source};
use a6_store::{Opener, Sealing, is_published};
use a6_upstream::{Resolver, TlsRoots};

/// How the store keeps secrets; what is unwise about it goes to the warnings.
pub(crate) fn sealing(settings: &Settings, warnings: &mut Vec<String>) -> Sealing {
    let conf = &settings.data_encryption;
    if conf.keyring.iter().any(is_published) {
        warnings.push(
            "apisix.data_encryption.keyring: everybody knows this key, it is in every copy of APISIX; put one of your \
             own in front, and take it out after the next start"
                .to_string(),
        );
    }
    if !conf.encrypts_fields {
        warnings.push(
            "apisix.data_encryption.enable_encrypt_fields: the secrets of plugins are written as they are; whoever \
             reads config.db has them"
                .to_string(),
        );
    }
    Sealing {
        keyring: settings.data_dir.join("keyring"),
        texts: conf.keyring.clone(),
        encrypts_fields: conf.encrypts_fields,
    }
}

/// What opens the ciphertexts of APISIX that come with a whole configuration. Where no store is used, `enable_encrypt_fields`
/// says whether there are any in the configurations of plugins.
pub(crate) fn opener(
    settings: &Settings,
    catalogue: &Arc<dyn Catalogue>,
    warnings: &mut Vec<String>,
) -> Opener {
    let conf = &settings.data_encryption;
    let is_stored = settings.source == Source::Store;
    if !is_stored && conf.keyring.iter().any(is_published) {
        warnings.push(
            "apisix.data_encryption.keyring: everybody knows this key, it is in every copy of APISIX: what is encrypted \
             with it is as good as open"
                .to_string(),
        );
    }
    let opens_fields = conf.encrypts_fields || is_stored;
    Opener::new(&conf.keyring, opens_fields, catalogue.clone())
}

/// The way to secrets that are kept elsewhere.
pub(crate) struct Fetching {
    /// What is known of them.
    pub(crate) secrets: Arc<Secrets>,
    /// Names to addresses, as for upstreams.
    pub(crate) resolver: Arc<Resolver>,
    /// Which managers' certificates are believed, as for upstreams.
    pub(crate) roots: Arc<TlsRoots>,
}

impl Fetching {
    /// Fetches what is wanted, on the thread that calls it. It does not end.
    pub(crate) async fn run(self) {
        Keeper::new(self.secrets, self.resolver, self.roots).run().await;
    }
}
