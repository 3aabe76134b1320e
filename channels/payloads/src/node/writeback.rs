//! The one system call of this crate that no library wraps: writing part of a file back to disk.
#![allow(
    unsafe_code,
    reason = "sync_file_range takes numbers only, and no well-kept crate wraps it; fdatasync instead commits the file \
              system's journal each time and measured four times slower"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Starts to write these bytes of `file` to disk and waits until they are there: the pages are clean then. It does not
/// make the file durable. Where the file system has no such call the whole file is written.
pub(super) fn write_back(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else {
        return file.sync_data();
    };
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the call reads and writes no memory of ours.
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE | libc::EPERM) => file.sync_data(),
        _ => Err(error),
    }
}
