package barrier

// OldKernel is oldKernel.
var OldKernel = oldKernel

// Waiting is how many wait for the sync that has not begun.
func (b *Barrier) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		return 0
	}
	return b.next.size
}
