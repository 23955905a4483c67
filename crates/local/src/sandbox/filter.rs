//! The filter of system calls that every process of a machine is under: what container engines refuse, since namespaces do not
//! cover it or no instance needs it, and what would take down another wall of the sandbox.
//!
//! It lists what is refused, so that a program that works on EC2 works here; calls that are newer than this list do not exist
//! (`ENOSYS`, for which programs have a fallback), nor do those of other processor modes: x32 calls are out of range, and a 32-bit
//! program is ended by `SIGSYS`, because 32-bit calls hide their arguments from filters.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::failure::{Failure, Step as _};
use super::kernel;

/// Refused whatever the arguments are.
const REFUSED: &[i64] = &[
    // Keyrings belong to users of the host, not to namespaces.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Large interfaces of the kernel that a bake does not need.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    // What concerns the whole machine: the kernel would refuse it too, as it stands today.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_clock_adjtime,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_nfsservctl,
    libc::SYS_syslog,
    libc::SYS_lookup_dcookie,
    // Opens files by number, past every directory.
    libc::SYS_open_by_handle_at,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
];
/// Families of sockets that a network namespace covers and that programs use; all others are refused. `AF_PACKET` would be covered, too,
/// but is a large interface that no bake needs.
const SOCKET_FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// A cgroup namespace of a machine's own would let its root mount the hierarchies of cgroups.
const NEW_CGROUP_NAMESPACE: u64 = 0x0200_0000;
/// Terminal requests that type on behalf of whoever sits at the terminal: `TIOCSTI` and `TIOCLINUX`, whose type differs between C libraries.
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// Requests that configure loop devices, by what they have in common: a volume is one, and stays what it was attached as.
const LOOP_DEVICES: (u64, u64) = (0xffff_ff00, 0x4c00);
/// The highest call that has been reviewed: `removexattrat`. Numbers from 424 on are the same on all processors.
const NEWEST: u32 = 466;

/// Puts this process under the filter.
pub(super) fn install() -> Result<(), Failure> {
    let step = "filter system calls";
    let programs = programs().map_err(std::io::Error::other).step(step)?;
    for program in programs {
        let program: Vec<libc::sock_filter> = program
            .into_iter()
            .map(|instruction| libc::sock_filter {
                code: instruction.code,
                jt: instruction.jt,
                jf: instruction.jf,
                k: instruction.k,
            })
            .collect();
        kernel::install_filter(&program).step(step)?;
    }
    Ok(())
}

/// One program per error that is answered.
fn programs() -> Result<[BpfProgram; 3], BackendError> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let new_cgroup = || {
        let masked = SeccompCmpOp::MaskedEq(NEW_CGROUP_NAMESPACE);
        rule([(0, SeccompCmpArgLen::Qword, masked, NEW_CGROUP_NAMESPACE)])
    };
    refused.insert(libc::SYS_unshare, vec![new_cgroup()?]);
    refused.insert(libc::SYS_clone, vec![new_cgroup()?]);
    let typing = TYPING.map(|request| rule([(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)]));
    let (mask, loops) = LOOP_DEVICES;
    let loops = rule([(1, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), loops)]);
    refused.insert(
        libc::SYS_ioctl,
        typing.into_iter().chain([loops]).collect::<Result<_, _>>()?,
    );
    // Its flags lie in memory, where a filter cannot read them; the C libraries fall back on `clone`.
    let missing = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let other_family = SOCKET_FAMILIES.map(|family| {
        let family = u64::from(family.unsigned_abs());
        (0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    });
    let families = BTreeMap::from([
        (libc::SYS_socket, vec![rule(other_family.clone())?]),
        (libc::SYS_socketpair, vec![rule(other_family)?]),
    ]);
    Ok([
        compile(refused, libc::EPERM)?,
        limit(compile(missing, libc::ENOSYS)?),
        compile(families, libc::EAFNOSUPPORT)?,
    ])
}

/// All conditions hold: number of the argument, its width, comparison, value.
fn rule<const N: usize>(
    conditions: [(u8, SeccompCmpArgLen, SeccompCmpOp, u64); N],
) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .into_iter()
        .map(|(argument, width, comparison, value)| SeccompCondition::new(argument, width, comparison, value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> Result<BpfProgram, BackendError> {
    let refusal = SeccompAction::Errno(error.unsigned_abs());
    let here = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, here)?.try_into()
}

/// Has a program answer `ENOSYS` to calls above the highest known one.
fn limit(program: BpfProgram) -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, of `seccomp_data.nr`
    const JUMP_IF_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let instruction = |code, jf, k| seccompiler::sock_filter { code, jt: 0, jf, k };
    let missing = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    let mut limited = vec![
        instruction(LOAD_NUMBER, 0, 0),
        instruction(JUMP_IF_GREATER, 1, NEWEST),
        instruction(RETURN, 0, missing),
    ];
    limited.extend(program);
    limited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_for_this_processor() {
        for program in programs().unwrap() {
            assert!(program.len() < 4096, "the kernel takes 4096 instructions");
        }
    }
}
