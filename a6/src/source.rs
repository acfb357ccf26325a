use std::sync::Arc;

use a6_admin::Ruler;
use a6_core::Clock;
use a6_resources::Catalogue;
use a6_settings::{Settings, Source};
use a6_snapshot::Rejection;
use a6_store::{
    ConfigFile, Document, FileError, FileFormat, MemoryStore, Opener, SealedStore, SqliteStore, Store, Watch,
};

use crate::secrets::{opener, sealing};
use crate::serve::environment;

/// Where resources come from, opened and read.
pub(crate) struct Opened {
    /// What is in force is kept here.
    pub(crate) store: Box<dyn Store>,
    /// Who changes it.
    pub(crate) ruler: Ruler,
    /// Opens what APISIX has encrypted in configurations that come at once.
    pub(crate) opener: Opener,
    /// The file that it was read from, where a file rules.
    pub(crate) file: Option<Read>,
}

/// A file that was read.
pub(crate) struct Read {
    document: Document,
    watch: Watch,
}

impl Opened {
    /// Opens the store of the settings, or reads their file.
    pub(crate) fn open(
        settings: &Settings,
        catalogue: &Arc<dyn Catalogue>,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let opener = opener(settings, catalogue, warnings);
        match &settings.source {
            Source::Store => {
                let store = SqliteStore::open(&settings.data_dir)?;
                let store = SealedStore::open(store, &sealing(settings, warnings), catalogue.clone())?;
                let store = Box::new(store);
                Ok(Self { store, ruler: Ruler::Clients, opener, file: None })
            }
            Source::Client => {
                Ok(Self { store: Box::new(MemoryStore::new()), ruler: Ruler::Whole, opener, file: None })
            }
            Source::File { path, format } => {
                let format = match format {
                    a6_settings::FileFormat::Yaml => FileFormat::Yaml,
                    a6_settings::FileFormat::Json => FileFormat::Json,
                };
                let (catalogue, keys) = (catalogue.clone(), opener.clone());
                let file = ConfigFile::new(path.clone(), format, environment(), catalogue, keys);
                let bytes = file.bytes()?;
                let document = file.document(&bytes)?;
                let mut store = MemoryStore::new();
                store.commit(&document.configuration.changes(&mut std::iter::empty()))?;
                let watch = Watch::new(file, &bytes);
                let file = Some(Read { document, watch });
                Ok(Self { store: Box::new(store), ruler: Ruler::File(path.clone()), opener, file })
            }
        }
    }
}

impl Read {
    /// Insists that all of it is in force, then follows the file. Gives what in it has no effect.
    pub(crate) fn follow(
        self,
        rejections: &[Rejection],
        writer: &a6_admin::Writer,
        clock: Clock,
    ) -> anyhow::Result<Vec<String>> {
        let Self { document, watch } = self;
        if let Some(Rejection { key, reason }) = rejections.first() {
            return Err(document.refused(key, reason).into());
        }
        a6_admin::follow_file(watch, document.warnings.clone(), writer, clock)?;
        Ok(document.warnings)
    }
}

/// Whether a start failed by what its file says, which is a mistake in the settings and not of the machine.
pub(crate) fn is_bad_file(error: &anyhow::Error) -> bool {
    error.downcast_ref::<FileError>().is_some()
}
