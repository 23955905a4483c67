//! A program of some eighty bytes of machine code that becomes root and executes its arguments: what the built-in `sudo`
//! stands on where the root has none.
//!
//! It must run on any root, without its libc, and as a real set-user-id program, so that the elevated command keeps its
//! caller's session, terminal, files and process group. Hence a static ELF file, written out here. It lies in the
//! machine's `/run`, never in an image, and means root of the machine, who has no power over the host.

/// The ELF file, or `None` on processors that it has not been written for.
pub(super) fn program() -> Option<Vec<u8>> {
    elf(X86_64, AARCH64, &[])
}

/// `setgid(0); setgroups(0, NULL); setuid(0); execve(argv[1], &argv[1], envp); exit(127)`
#[rustfmt::skip]
const X86_64: &[u8] = &[
    0x31, 0xff,                                 // xor edi, edi
    0xb8, 106, 0, 0, 0, 0x0f, 0x05,             // mov eax, SYS_setgid; syscall
    0x31, 0xf6,                                 // xor esi, esi
    0xb8, 116, 0, 0, 0, 0x0f, 0x05,             // mov eax, SYS_setgroups; syscall
    0xb8, 105, 0, 0, 0, 0x0f, 0x05,             // mov eax, SYS_setuid; syscall
    0x48, 0x8b, 0x0c, 0x24,                     // mov rcx, [rsp]            ; argc
    0x48, 0x8b, 0x7c, 0x24, 0x10,               // mov rdi, [rsp+16]         ; argv[1]
    0x48, 0x8d, 0x74, 0x24, 0x10,               // lea rsi, [rsp+16]         ; &argv[1]
    0x48, 0x8d, 0x54, 0xcc, 0x10,               // lea rdx, [rsp+rcx*8+16]   ; envp
    0xb8, 59, 0, 0, 0, 0x0f, 0x05,              // mov eax, SYS_execve; syscall
    0xbf, 127, 0, 0, 0,                         // mov edi, 127
    0xb8, 60, 0, 0, 0, 0x0f, 0x05,              // mov eax, SYS_exit; syscall
];

/// The same for 64-bit ARM.
#[rustfmt::skip]
const AARCH64: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2,                     // mov x0, #0
    0x08, 0x12, 0x80, 0xd2,                     // mov x8, #144 (setgid)
    0x01, 0x00, 0x00, 0xd4,                     // svc #0
    0x00, 0x00, 0x80, 0xd2,                     // mov x0, #0
    0x01, 0x00, 0x80, 0xd2,                     // mov x1, #0
    0xe8, 0x13, 0x80, 0xd2,                     // mov x8, #159 (setgroups)
    0x01, 0x00, 0x00, 0xd4,                     // svc #0
    0x00, 0x00, 0x80, 0xd2,                     // mov x0, #0
    0x48, 0x12, 0x80, 0xd2,                     // mov x8, #146 (setuid)
    0x01, 0x00, 0x00, 0xd4,                     // svc #0
    0xe3, 0x03, 0x40, 0xf9,                     // ldr x3, [sp]       ; argc
    0xe0, 0x0b, 0x40, 0xf9,                     // ldr x0, [sp, #16]  ; argv[1]
    0xe1, 0x43, 0x00, 0x91,                     // add x1, sp, #16    ; &argv[1]
    0x22, 0x0c, 0x03, 0x8b,                     // add x2, x1, x3, lsl #3 ; envp
    0xa8, 0x1b, 0x80, 0xd2,                     // mov x8, #221 (execve)
    0x01, 0x00, 0x00, 0xd4,                     // svc #0
    0xe0, 0x0f, 0x80, 0xd2,                     // mov x0, #127
    0xa8, 0x0b, 0x80, 0xd2,                     // mov x8, #93 (exit)
    0x01, 0x00, 0x00, 0xd4,                     // svc #0
];

/// A static executable of one segment, code for this processor with data behind it, that starts at its first instruction. `None` on processors
/// that there is no code for.
pub(super) fn elf(x86_64: &[u8], aarch64: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    const BASE: u64 = 0x0040_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code) = if cfg!(target_arch = "x86_64") {
        (62_u16, x86_64)
    } else if cfg!(target_arch = "aarch64") {
        (183, aarch64)
    } else {
        return None;
    };
    let length = HEADERS + (code.len() + data.len()) as u64;
    let mut file = Vec::with_capacity(256);
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"); // 64 bit, little endian, version 1
    file.extend_from_slice(&2_u16.to_le_bytes()); // executable
    file.extend_from_slice(&machine.to_le_bytes());
    file.extend_from_slice(&1_u32.to_le_bytes());
    file.extend_from_slice(&(BASE + HEADERS).to_le_bytes()); // entry
    file.extend_from_slice(&64_u64.to_le_bytes()); // program headers follow this header
    file.extend_from_slice(&0_u64.to_le_bytes()); // no sections
    file.extend_from_slice(&0_u32.to_le_bytes()); // no flags
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes()); // sizes and counts of the headers
    }
    file.extend_from_slice(&1_u32.to_le_bytes()); // load
    file.extend_from_slice(&5_u32.to_le_bytes()); // read and execute
    for word in [0, BASE, BASE, length, length, 0x1000] {
        file.extend_from_slice(&word.to_le_bytes()); // offset, addresses, sizes, alignment
    }
    file.extend_from_slice(code);
    file.extend_from_slice(data);
    Some(file)
}
