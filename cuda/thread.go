//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"sync"

	"gcnn/device"
)

// thread is the goroutine that owns the device. CUDA's context is current on its OS thread alone.
type thread struct {
	mu    sync.RWMutex // of closed; held for reading while a closure is handed over
	calls chan func()
	ended chan struct{}
	shut  bool
}

func newThread() *thread {
	t := &thread{calls: make(chan func()), ended: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the context is current nowhere else
		defer close(t.ended)
		for f := range t.calls {
			f()
		}
	}()
	return t
}

// do runs f on the thread and waits for it.
func (t *thread) do(f func() error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.shut {
		return fmt.Errorf("the device is %w", device.ErrClosed)
	}
	done := make(chan error, 1)
	t.calls <- func() { done <- f() }
	return <-done
}

// end stops the thread when all closures are done.
func (t *thread) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return
	}
	t.shut = true
	close(t.calls)
	<-t.ended
}
