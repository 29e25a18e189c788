//! Writing a stream that was changed through the API into the configuration file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{StreamName, edit};
use crate::web::Kept;

/// The file that streams are written into, where that is allowed.
#[derive(Debug)]
pub(super) enum ConfigFile {
    /// Streams were given on the command line.
    None,
    /// The operator did not allow it.
    Untouched,
    Written(PathBuf),
}

impl ConfigFile {
    /// Puts a stream into the file, or takes it out. Says why not in words that go to whoever asked.
    pub(super) async fn keep(&self, name: StreamName, stream: Option<Value>) -> Kept {
        let file = match self {
            Self::None => {
                return Kept::UntilRestart("the relay runs without a configuration file".to_owned());
            }
            Self::Untouched => {
                let why = "the configuration file is not written (http.write_config is false)";
                return Kept::UntilRestart(why.to_owned());
            }
            Self::Written(file) => file.clone(),
        };
        let written = tokio::task::spawn_blocking(move || change(&file, &name, stream.as_ref())).await;
        match written
            .unwrap_or_else(|_| Err("writing the configuration file failed: this is a bug".to_owned()))
        {
            Ok(()) => Kept::InFile,
            Err(why) => {
                tracing::warn!("not written into the configuration file: {why}");
                Kept::UntilRestart(why)
            }
        }
    }
}

fn change(file: &Path, name: &StreamName, stream: Option<&Value>) -> Result<(), String> {
    // A link stays one: what it leads to is replaced.
    let file = file.canonicalize().map_err(|error| format!("cannot find {}: {error}", file.display()))?;
    let text =
        fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let environment = |name: &str| std::env::var(name).ok();
    let edited = edit(&text, name, stream, &environment).map_err(|error| error.to_string())?;
    if edited == text {
        return Ok(());
    }
    replace(&file, &edited).map_err(|error| {
        let shown = file.display();
        let hint = match error.kind() {
            io::ErrorKind::ResourceBusy => {
                ": the file alone is mounted into the container; mount its directory instead"
            }
            io::ErrorKind::ReadOnlyFilesystem => ": it is mounted read-only",
            io::ErrorKind::PermissionDenied => ": the relay's user may not write into its directory",
            _ => "",
        };
        format!("cannot write {shown} ({error}){hint}")
    })
}

/// Puts `text` in the place of the file's, at once: whoever reads it finds one or the other, whatever happens.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = write(&beside, file, text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        let _ = fs::remove_file(&beside); // there may be none
    }
    written?;
    // So that the name, too, outlives a power cut; not every file system can do that.
    if let Some(directory) = file.parent().and_then(|directory| File::open(directory).ok()) {
        let _ = directory.sync_all();
    }
    Ok(())
}

/// Writes a new file that the same people may read.
fn write(new: &Path, old: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let before = fs::metadata(old)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let _ = fchown(&file, Some(before.uid()), Some(before.gid())); // only root can, and only then it matters
    file.set_permissions(fs::Permissions::from_mode(before.permissions().mode() & 0o7777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "# mine\nstreams:\n  door: rtsp://10.0.0.7/a\n";

    async fn put(file: &Path) -> Kept {
        ConfigFile::Written(file.to_owned())
            .keep("yard".parse().unwrap(), Some(json!("rtsp://10.0.0.8/b")))
            .await
    }

    #[tokio::test]
    async fn the_file_is_replaced_and_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real.yml"), folder.path().join("fanlight.yml"));
        fs::write(&file, TEXT).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(put(&link).await, Kept::InFile);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{TEXT}  yard: rtsp://10.0.0.8/b\n"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
        let kept = ConfigFile::Written(link.clone()).keep("yard".parse().unwrap(), None).await;
        assert_eq!((kept, fs::read_to_string(&file).unwrap().as_str()), (Kept::InFile, TEXT));
    }

    #[tokio::test]
    async fn what_cannot_be_written_stays_as_it_is_and_the_reason_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fanlight.yml");
        for (text, reason) in
            [("streams: {a: rtsp://h/a}\n", "only people can change"), ("streams: [", "mistakes")]
        {
            fs::write(&file, text).unwrap();
            let Kept::UntilRestart(why) = put(&file).await else { panic!("it was written") };
            assert!(why.contains(reason), "{why}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        let Kept::UntilRestart(why) = put(&folder.path().join("none")).await else {
            panic!("it was written")
        };
        assert!(why.contains("cannot find"), "{why}");
        for (file, reason) in
            [(ConfigFile::None, "without a configuration file"), (ConfigFile::Untouched, "http.write_config")]
        {
            let Kept::UntilRestart(why) = file.keep("a".parse().unwrap(), None).await else {
                panic!("it was written")
            };
            assert!(why.contains(reason), "{why}");
        }
    }
}
