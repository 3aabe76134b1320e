//! The memory of a process under test as a cluster would bill it: a cgroup of its own, watched for its peak.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Time between two samples. A peak that is shorter may be missed.
pub const EVERY: Duration = Duration::from_millis(20);

/// What the names of our cgroups begin with; the process id of their maker and a number follow.
const NAME: &str = "towpath-test-";

/// Joins the cgroup whose `cgroup.procs` is the first argument, then becomes the program that the rest names: what
/// the program allocates is its cgroup's from the first byte, which a move after the start would not give.
const ENTER: &str = r#"echo $$ > "$0" && exec "$@""#;

/// Memory in bytes that cannot be dropped at will: what clean page cache holds is left out. The kernel counts in batches,
/// so a sample may be some hundred KB behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Anonymous pages: heap and stacks.
    pub rss: u64,
    /// Shared memory, with files on tmpfs.
    pub shmem: u64,
    /// Written file pages that are not on disk yet.
    pub dirty: u64,
}

impl Sample {
    /// All three added.
    #[must_use]
    pub fn total(self) -> u64 {
        self.rss
            .saturating_add(self.shmem)
            .saturating_add(self.dirty)
    }
}

/// The most that was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peak {
    /// The sample with the greatest total.
    pub sample: Sample,
    /// How many samples were taken.
    pub samples: u64,
}

/// Where samples come from.
#[derive(Debug, Clone)]
enum Source {
    /// `memory.stat` of a cgroup.
    Cgroup {
        stat: PathBuf,
        names: &'static Names,
    },
    /// `/proc/<pid>/status`, which knows nothing of dirty pages.
    Process { status: PathBuf },
}

/// What a version of cgroups calls the three parts.
#[derive(Debug)]
struct Names {
    rss: &'static str,
    shmem: &'static str,
    dirty: &'static str,
}

const V1: Names = Names {
    rss: "total_rss",
    shmem: "total_shmem",
    dirty: "total_dirty",
};

const V2: Names = Names {
    rss: "anon",
    shmem: "shmem",
    dirty: "file_dirty",
};

/// A memory cgroup, made for one process and its children. Dropping it removes it; the process must have ended before.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    names: &'static Names,
}

impl Cgroup {
    /// Makes a cgroup: with version 1 within the one that this process is in, so that its limits hold further; with
    /// version 2 beside it, since there a cgroup with processes has no children.
    ///
    /// # Errors
    /// There is no memory controller, or no permission: mostly for want of being root.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let own =
            fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
        let (parent, names) = place(&own).context("no memory cgroup in /proc/self/cgroup")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{NAME}{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make cgroup {}", path.display()))?;
        let cgroup = Self { path, names };
        cgroup.source().read()?;
        Ok(cgroup)
    }

    /// A command that runs `program` in this cgroup, under the process id that the command gets.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(ENTER)
            .arg(self.path.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// Begins to watch what all processes of this cgroup hold.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn watch(&self) -> Result<Watch> {
        Watch::start(self.source())
    }

    fn source(&self) -> Source {
        Source::Cgroup {
            stat: self.path.join("memory.stat"),
            names: self.names,
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // the kernel may hold it for some moments after its last process has been waited for; if it cannot be
        // removed, an empty cgroup stays behind, which costs nothing
        let _ = fs::remove_dir(&self.path);
    }
}

/// Samples memory on a thread of its own until [`Watch::end`]. Dropped, it ends too.
#[derive(Debug)]
pub struct Watch {
    thread: Option<JoinHandle<Result<Peak>>>,
    stop: Option<Sender<()>>,
}

impl Watch {
    /// Begins to watch a process that has no cgroup of its own: `RssAnon` and `RssShmem`, without dirty pages.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn process(pid: u32) -> Result<Self> {
        Self::start(Source::Process {
            status: Path::new("/proc").join(pid.to_string()).join("status"),
        })
    }

    fn start(source: Source) -> Result<Self> {
        let (stop, stopped) = channel::<()>();
        let work = move || {
            let mut peak = Peak::default();
            let mut last = false;
            loop {
                let sample = source.read()?;
                peak.samples += 1;
                if sample.total() >= peak.sample.total() {
                    peak.sample = sample;
                }
                if last {
                    return Ok(peak);
                }
                // the end is sampled too
                last = stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
            }
        };
        let thread = std::thread::Builder::new()
            .name("memory-watch".to_owned())
            .spawn(work)
            .context("no thread to watch memory")?;
        Ok(Self {
            thread: Some(thread),
            stop: Some(stop),
        })
    }

    /// Ends the watch and gives the peak; call it while the process lives.
    ///
    /// # Errors
    /// Memory could not be read: the process has ended.
    pub fn end(mut self) -> Result<Peak> {
        self.stop.take();
        let thread = self.thread.take().context("the watch has ended")?;
        match thread.join() {
            Ok(peak) => peak,
            Err(_) => bail!("the thread that watches memory broke"),
        }
    }
}

impl Source {
    fn read(&self) -> Result<Sample> {
        let (path, names) = match self {
            Self::Cgroup { stat, names } => (stat, Some(*names)),
            Self::Process { status } => (status, None),
        };
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let sample = match names {
            Some(names) => of_cgroup(&text, names),
            None => of_process(&text),
        };
        sample.with_context(|| format!("{} does not tell its memory", path.display()))
    }
}

/// The folder to make cgroups in, and the names of its version.
fn place(own: &str) -> Option<(PathBuf, &'static Names)> {
    let paths = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?.trim_start_matches('/')))
    });
    let root = Path::new("/sys/fs/cgroup");
    let mut second = None;
    for (controllers, path) in paths {
        if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            return Some((root.join("memory").join(path), &V1));
        }
        if controllers.is_empty() {
            second = Some(path);
        }
    }
    let own = root.join(second?);
    let parent = if own == root { root } else { own.parent()? };
    Some((parent.to_owned(), &V2))
}

fn of_cgroup(stat: &str, names: &Names) -> Option<Sample> {
    let field = |name: &str| -> Option<u64> {
        let value = stat
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse().ok()
    };
    Some(Sample {
        rss: field(names.rss)?,
        shmem: field(names.shmem)?,
        dirty: field(names.dirty)?,
    })
}

fn of_process(status: &str) -> Option<Sample> {
    let field = |name: &str| -> Option<u64> {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Sample {
        rss: field("RssAnon:")?,
        shmem: field("RssShmem:")?,
        dirty: 0,
    })
}

/// Removes cgroups of this kind whose makers were killed before they could; those in use stay.
///
/// # Errors
/// The folder of cgroups cannot be listed.
pub fn remove_left() -> io::Result<()> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let Some((parent, _)) = place(&own) else {
        return Ok(());
    };
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let maker = name
            .to_str()
            .and_then(|name| name.strip_prefix(NAME)?.split('-').next());
        let gone = maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if gone {
            // one that still has processes refuses
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that holds 4 MB before it says so.
    const HOLD: &str = "y=$(head -c 4000000 /dev/zero | tr '\\0' y); echo in; read x; exit 0";

    #[test]
    fn both_versions_and_a_process_tell_their_memory() {
        let first = "cache 9\nrss 1\ndirty 2\ntotal_rss_huge 7\ntotal_rss 100\ntotal_shmem 20\ntotal_dirty 3\n";
        let expected = Sample {
            rss: 100,
            shmem: 20,
            dirty: 3,
        };
        assert_eq!(of_cgroup(first, &V1), Some(expected));
        assert_eq!(expected.total(), 123);
        let second = "anon 100\nanon_thp 5\nfile 9\nshmem 20\nfile_dirty 3\nfile_writeback 4\n";
        assert_eq!(of_cgroup(second, &V2), Some(expected));
        assert_eq!(of_cgroup("anon 100\n", &V2), None);
        let status = "VmRSS:\t 99 kB\nRssAnon:\t  2 kB\nRssFile:\t 50 kB\nRssShmem:\t  1 kB\n";
        let process = of_process(status).unwrap();
        assert_eq!((process.rss, process.shmem, process.dirty), (2048, 1024, 0));
        assert_eq!(of_process("Name:\tx\n"), None);
    }

    #[test]
    fn cgroups_are_made_within_ours_or_beside_it() {
        let first = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/x\n";
        assert_eq!(
            place(first).unwrap().0,
            Path::new("/sys/fs/cgroup/memory/a/b")
        );
        let second = "0::/a/b\n";
        assert_eq!(place(second).unwrap().0, Path::new("/sys/fs/cgroup/a"));
        assert_eq!(place("0::/\n").unwrap().0, Path::new("/sys/fs/cgroup"));
        assert!(place("1:cpu:/\n").is_none());
    }

    #[test]
    fn a_watch_sees_what_this_process_holds() {
        let watch = Watch::process(std::process::id()).unwrap();
        let peak = watch.end().unwrap();
        assert!(peak.samples >= 1 && peak.sample.rss > 0, "{peak:?}");
    }

    #[test]
    fn what_a_program_in_a_cgroup_holds_is_counted_from_its_start() {
        let cgroup = match Cgroup::new() {
            Ok(cgroup) => cgroup,
            Err(error) => {
                eprintln!("not tested, cgroups cannot be made here: {error:#}");
                return;
            }
        };
        // `read` keeps it alive until its input closes; the kernel tells less than some hundred KB late
        let mut child = cgroup
            .command("/bin/sh")
            .args(["-c", HOLD])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut byte = [0];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut byte).unwrap();
        let procs = fs::read_to_string(cgroup.path.join("cgroup.procs")).unwrap();
        let peak = cgroup.watch().unwrap().end().unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(procs.trim(), child.id().to_string());
        assert!(peak.sample.rss > 4_000_000, "{peak:?}");
        let path = cgroup.path.clone();
        drop(cgroup);
        assert!(!path.exists());
    }
}
