package command

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RunOnTerminal runs a command on a pseudo-terminal of 80 columns and takes the time until its output first matches: when a user
// sees the first step.
func RunOnTerminal(ctx context.Context, first *regexp.Regexp, name string, args ...string) (Usage, error) {
	master, slave, err := openTerminal()
	if err != nil {
		return Usage{}, fmt.Errorf("pseudo-terminal: %w", err)
	}
	defer master.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.Env = append(os.Environ(), "TERM=xterm", "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	start := time.Now()
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	chunk := make([]byte, 4096)
	for {
		n, err := master.Read(chunk) // fails with EIO once the command has ended
		u.Output = append(u.Output, chunk[:n]...)
		if u.First == 0 && first.Match(u.Output) {
			u.First = time.Since(start).Seconds()
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	u.Seconds = time.Since(start).Seconds()
	if err != nil {
		return u, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, last(u.Output))
	}
	if u.First == 0 {
		return u, fmt.Errorf("%s: its output never matched %v: %s", filepath.Base(name), first, last(u.Output))
	}
	u.Memory = peakMemory(cmd.ProcessState)
	return u, nil
}

func openTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}
