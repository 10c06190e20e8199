//! What is made of files, and made anew when they change: certificates, keys, principals. Nobody has to restart a service for
//! a certificate that ends tonight.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

/// Time between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// A value that is made of the contents of files.
pub struct Reloaded<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    current: ArcSwap<T>,
    /// What was read last, whether anything could be made of it or not.
    read: Mutex<Vec<Vec<u8>>>,
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files and makes the value of their contents, in the order of the paths.
    ///
    /// # Errors
    /// Which file cannot be read, or what `make` says.
    pub fn load(
        paths: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, String> {
        let read = read_all(&paths)?;
        let current = make(&read).map_err(|error| format!("{}: {error}", listed(&paths)))?;
        Ok(Arc::new(Self {
            paths,
            make: Box::new(make),
            current: ArcSwap::from_pointee(current),
            read: Mutex::new(read),
        }))
    }

    /// The value as it is now.
    pub fn get(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks whether the files have changed. If nothing can be made of them, what was made before stays.
    ///
    /// # Errors
    /// What is wrong with the files, said once for each state of them.
    pub fn look(&self) -> Result<bool, String> {
        let now = read_all(&self.paths)?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == now {
            return Ok(false);
        }
        let made = (self.make)(&now);
        *read = now;
        self.current.store(Arc::new(made.map_err(|error| format!("{}: {error}", listed(&self.paths)))?));
        Ok(true)
    }

    /// Looks at the files again and again until it is told to stop.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let mut said = String::new();
        let looking = async {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let files = self.clone();
                match tokio::task::spawn_blocking(move || files.look()).await {
                    Ok(Ok(false)) | Err(_) => {}
                    Ok(Ok(true)) => {
                        said.clear();
                        tracing::info!(files = listed(&self.paths), "read again");
                    }
                    Ok(Err(error)) if error != said => {
                        tracing::error!(%error, "what was read before stays in force");
                        said = error;
                    }
                    Ok(Err(_)) => {}
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    paths.iter().map(read).collect()
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_leaves_what_was_read_before() {
        let directory = tempfile::tempdir().unwrap();
        let paths = vec![directory.path().join("a"), directory.path().join("b")];
        let number = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).parse::<u32>().map_err(|error| error.to_string());
        let sum = move |files: &[Vec<u8>]| files.iter().map(number).sum::<Result<u32, String>>();
        assert!(Reloaded::load(paths.clone(), sum).is_err(), "there are no files");
        fs::write(&paths[0], "1").unwrap();
        fs::write(&paths[1], "2").unwrap();
        let reloaded = Reloaded::load(paths.clone(), sum).unwrap();
        assert_eq!((*reloaded.get(), reloaded.look()), (3, Ok(false)));
        fs::write(&paths[1], "x").unwrap();
        assert!(reloaded.look().is_err());
        assert_eq!((*reloaded.get(), reloaded.look()), (3, Ok(false)), "said once");
        fs::remove_file(&paths[1]).unwrap();
        assert!(reloaded.look().is_err());
        fs::write(&paths[1], "5").unwrap();
        assert_eq!((reloaded.look(), *reloaded.get()), (Ok(true), 6));
    }
}
