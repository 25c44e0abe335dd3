package queue

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// mapsWholeFile tells whether the operating system grows a file to the size it is mapped with.
const mapsWholeFile = true

const errSharingViolation = syscall.Errno(32)

// lockPath opens the file at path so that no other process can open it for writing; held tells that one has it.
// Reading it, for the process id, stays possible.
func lockPath(path string) (file *os.File, held bool, err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, false, err
	}
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, syscall.FILE_SHARE_READ, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharingViolation) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	return os.NewFile(uintptr(handle), path), false, nil
}

// syncDir does nothing: NTFS keeps names in its journal, and a directory cannot be synced by itself.
func syncDir(string) error { return nil }

// freeBytes returns what this process may still write to the volume of dir.
func freeBytes(dir string) (int64, error) {
	name, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	call := syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")
	if ok, _, err := call.Call(uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&free)), 0, 0); ok == 0 {
		return 0, err
	}
	return int64(free), nil
}

// onMemory tells whether dir lies on a file system that a power cut empties.
func onMemory(string) (bool, error) { return false, nil }
