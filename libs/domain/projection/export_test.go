package projection

// Size counts what is kept beside the facts themselves, which are bounded by their own tests.
func (p *Projection) Size() int {
	n := len(p.links) + len(p.parked) + len(p.renewals)
	for _, s := range p.facts {
		n += len(s.objects) + len(s.touched)
	}
	return n
}
