//! Pseudo-terminals: opened in the machine, driven by the parent through the master.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use super::wire::Terminal;

/// Opens a terminal: master, the program's side, and its path.
pub(super) fn open(wanted: &Terminal) -> io::Result<(OwnedFd, OwnedFd, String)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let side = ioctl_tiocgptpeer(&master, flags)?;
    let path = rustix::pty::ptsname(&master, Vec::new())?
        .to_string_lossy()
        .into_owned();
    set_size(&master, wanted.columns, wanted.rows)?;
    set_modes(&side, &wanted.modes)?;
    Ok((master, side, path))
}

/// Tells the programs of a terminal how large it is now.
pub(crate) fn set_size(master: &OwnedFd, columns: u16, rows: u16) -> io::Result<()> {
    Ok(tcsetwinsize(
        master,
        Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?)
}

/// Sets the modes that matter to line editing and echo (numbers: RFC 4254 §8); the rest stays as the kernel has it.
fn set_modes(side: &OwnedFd, modes: &[(u8, u32)]) -> io::Result<()> {
    let mut attributes = tcgetattr(side)?;
    for (number, value) in modes {
        let on = *value != 0;
        match number {
            36 => attributes.input_modes.set(InputModes::ICRNL, on),
            34 => attributes.input_modes.set(InputModes::INLCR, on),
            38 => attributes.input_modes.set(InputModes::IXON, on),
            42 => attributes.input_modes.set(InputModes::IUTF8, on),
            50 => attributes.local_modes.set(LocalModes::ISIG, on),
            51 => attributes.local_modes.set(LocalModes::ICANON, on),
            53 => attributes.local_modes.set(LocalModes::ECHO, on),
            54 => attributes.local_modes.set(LocalModes::ECHOE, on),
            70 => attributes.output_modes.set(OutputModes::OPOST, on),
            72 => attributes.output_modes.set(OutputModes::ONLCR, on),
            _ => {}
        }
    }
    Ok(tcsetattr(side, OptionalActions::Now, &attributes)?)
}
