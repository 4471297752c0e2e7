package cpu

import (
	"slices"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// Fewer than 16 samples leave lanes empty. The channel mapping has the lanes hold channels instead: an activation of one sample is
// [H][W][⌈C/16⌉][16], a flat one [⌈F/16⌉][16], and a sample is what a group of 16 is in the sample mapping. What works on whole
// vectors whatever they hold (pools, most activations, sums, padding) is the same task in both, of a network whose channels
// are vectors; what mixes channels is made by the functions of these files. What lies in the padding of the last vector is never
// read. Every sum has the order that it has in the sample mapping, so that an image has the same output bit for bit, alone or in a
// batch (but for algorithms that change the operations, which Plan.Exact forbids).

// channelView is a network whose channels are counted in vectors.
func channelView(net *model.Network) *model.Network {
	vectors := func(s model.Shape) model.Shape {
		v := slices.Clone(s)
		v[len(v)-1] = (v[len(v)-1] + kernel.Lanes - 1) / kernel.Lanes
		return v
	}
	view := &model.Network{Name: net.Name, Input: vectors(net.Input), Nodes: slices.Clone(net.Nodes)}
	for i := range view.Nodes {
		node := &view.Nodes[i]
		node.Out, node.In = vectors(node.Out), slices.Clone(node.In)
		for k := range node.In {
			node.In[k] = vectors(node.In[k])
		}
	}
	return view
}

// What an element of an activation costs beside a multiply-add of a convolution, with samples and with channels in the lanes, and
// what multiply-adds with a single vector of outputs cost beside those with more, whose loads serve several.
const (
	sampleElement  = 4
	channelElement = 8
	narrow         = 1.5
)

// The time of Winograd's algorithm, which convolutions go by with samples in the lanes, beside the sums over taps: in tiles and along rows.
const (
	winogradShare = 0.5
	rowShare      = 0.8
)

// prefersChannels reports whether n samples, fewer than 16, take less time with channels in the lanes: by the lanes that each
// mapping leaves empty.
func prefersChannels(net *model.Network, n int, exact bool, path kernel.Path) bool {
	var samples, channels float64
	for i := range net.Nodes {
		node := &net.Nodes[i]
		outs, groups := outsOf(node)
		padding := float64(kernel.Padded(outs)) / float64(outs)
		macs, elements := float64(node.MACs), float64(node.Out.Size()/groups)
		batched := macs
		switch algorithmOf(node, exact) {
		case winogradTiles:
			batched *= winogradShare
		case winogradRows:
			batched *= rowShare
		case sumOverTaps:
		}
		samples += kernel.Lanes * (batched + sampleElement*elements)
		if outs <= kernel.Lanes {
			macs *= narrow
		}
		channels += float64(n) * (macs + channelElement*elements) * padding
	}
	if path == kernel.NEON { // whose kernels for this mapping are the portable ones
		channels *= portableCost
	}
	return channels < samples
}

// outsOf is how many outputs fill lanes together, of so many groups.
func outsOf(node *model.Node) (outs, groups int) {
	outs = node.Out[len(node.Out)-1]
	if l, ok := node.Layer.(model.Conv2D); ok && (l.Groups != outs || l.Groups != node.In[0][2]) {
		return outs / l.Groups, l.Groups
	}
	return outs, 1
}

// portableCost is the time of portable kernels beside NEON's.
const portableCost = 8

// A part of a task has at least defaultGrain multiply-adds, and a pass less than soloGrains times as many is not worth waking a second
// worker for.
const (
	defaultGrain = 500_000
	soloGrains   = 32
)

// workOf is the multiply-adds of one sample, with its elements.
func workOf(net *model.Network) (n int64) {
	for _, node := range net.Nodes {
		n += node.MACs + sampleElement*int64(node.Out.Size())
	}
	return n
}

// channelPlan makes a forward-only plan of the channel mapping.
func (c *compiler) channelPlan() (*plan, error) {
	c.wide = channels{net: c.net, target: 1}
	if c.purpose.spread {
		c.wide.target = 2 * c.prog.workers // an idle worker takes what a late one has left
	}
	c.net = channelView(c.net)
	c.channelGather()
	blocks := fuse(c.wide.net, c.purpose)
	for k := range blocks {
		b := &blocks[k]
		if l, ok := c.net.Nodes[b.nodes[0]].Layer.(model.BatchNormalization); ok {
			c.channelNorm(b, l)
			continue
		}
		for _, i := range b.nodes { // a convolution fuses nothing here
			if one := (&block{nodes: []int{i}}); !c.channelForward(one) {
				c.forward(one)
			}
		}
	}
	c.channelOutput()
	return c.finish()
}

// channels is the state of a compiler for the channel mapping.
type channels struct {
	net    *model.Network // with the real shapes; compiler.net has the view
	packed *buffer        // the input where its channels lie without padding
	target int            // parts that a large task is cut into
	spread bool           // a phase for each task of feature maps
}

// pitch is the floats from one position of a node's output to the next.
func (c *compiler) pitch(node int) int {
	shape := c.wide.net.Input
	if node != model.Input {
		shape = c.wide.net.Nodes[node].Out
	}
	n := shape[len(shape)-1]
	if b := c.vals[slot(node)]; b != nil && b == c.wide.packed {
		return n
	}
	return kernel.Padded(n)
}

// channelGather emits the first task: a sample's image, normalised. Its channels lie side by side without padding where only
// layers read it that can; else each position is padded to whole vectors.
func (c *compiler) channelGather() {
	shape := c.wide.net.Input
	size, n := shape.Size(), shape[2]
	pitch := n
	for _, node := range c.wide.net.Nodes {
		if !slices.Contains(node.Inputs, model.Input) {
			continue
		}
		switch l := node.Layer.(type) {
		case model.Conv2D:
			if depthwise(l, node.In[0]) {
				pitch = kernel.Padded(n)
			}
		case model.Flatten, model.Concatenate:
		default:
			pitch = kernel.Padded(n)
		}
	}
	x := c.buffer(model.InputName, size/n*pitch)
	x.pinned = c.purpose.mode == tracing
	c.vals[slot(model.Input)] = x
	if pitch == n {
		c.wide.packed = x
	}
	uses := []*buffer{x}
	augment := c.newAugmentation()
	if augment != nil {
		uses = append(uses, augment.changed, augment.source)
	}
	var tables [][256]float32
	for ch := range n {
		tables = append(tables, c.spec.Normalization.Table(ch))
	}
	mean, std := c.spec.Normalization.Mean, c.spec.Normalization.Std
	if c.purpose.mode == tracing { // a trace takes its images as they are
		mean, std = nil, nil
	}
	read := func(w *worker, g int) {
		set, dst := w.step.set, x.at(w, g)
		at, pixels, floats := int(w.step.sample(g))*size, set.Pixels, set.Floats
		if augment != nil {
			at, pixels, floats = 0, nil, augment.one(w, g)
			if augment.bytes(set) {
				pixels, floats = bytesOf(floats, size), nil
			}
		}
		for ch := range n {
			to := dst[ch:]
			if floats == nil {
				from, table := pixels[at+ch:at+size], &tables[ch]
				for i, k := 0, 0; i < len(from); i, k = i+n, k+pitch {
					to[k] = table[from[i]]
				}
				continue
			}
			m, s := float32(0), float32(1)
			if len(std) > 0 {
				m, s = mean[ch], std[ch]
			}
			from := floats[at+ch : at+size]
			for i, k := 0, 0; i < len(from); i, k = i+n, k+pitch {
				to[k] = (from[i] - m) / s
			}
		}
	}
	c.task(device.Task{Name: c.gatherName(augment), Kernel: "portable"}, uses, func(w *worker, g int) {
		w.reads(func() { read(w, g) })
	})
}

// channelForward emits a layer's tasks where the mapping changes them; ok is false where it does not.
func (c *compiler) channelForward(b *block) (ok bool) {
	i := b.nodes[0]
	node := &c.wide.net.Nodes[i]
	switch l := node.Layer.(type) {
	case model.Conv2D:
		c.channelConv(b, l)
	case model.Dense:
		c.channelDense(i, node.In[0][0], l.Units, l.Activation)
	case model.Activation:
		if l.Func != model.Softmax {
			return false
		}
		if c.finalSoftmax(i) {
			c.vals[slot(i)] = c.vals[slot(node.Inputs[0])]
		} else {
			c.channelSoftmax(i, c.vals[slot(node.Inputs[0])], c.value(i))
		}
	case model.Flatten:
		c.channelFlatten(i)
	case model.LocalResponseNormalization:
		c.channelLRN(i, l)
	case model.Concatenate:
		c.channelConcatenate(i)
	case model.MaxPool2D, model.AveragePool2D, model.GlobalMaxPool2D, model.GlobalAveragePool2D, model.Dropout, model.ZeroPadding2D, model.Add:
		return false
	case model.BatchNormalization: // channelPlan knows its block
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
	return true
}

// channelOutput emits the end of the pass: of a classifier the probabilities and the loss, with samples in the lanes as ever;
// of another network its output stays as it is.
func (c *compiler) channelOutput() {
	last := len(c.wide.net.Nodes) - 1
	z := c.vals[slot(last)]
	if !c.purpose.labels {
		z.pinned = true
		c.plan.output = z
		return
	}
	classes := c.wide.net.Output().Size()
	p := c.global("probabilities", classes*kernel.Lanes, single)
	p.pinned = true
	ce := c.crossEntropy(classes)
	c.sync([]work{{
		Task: device.Task{Name: "softmax and loss", Layers: c.layers(last), Kernel: c.kernelName("softmax")}, uses: []*buffer{z, p},
		run: func(w *worker) {
			turned := p.copy(0)
			clear(turned)
			for s := range w.step.groups {
				for class, v := range z.copy(s)[:classes] {
					turned[class*kernel.Lanes+s] = v
				}
			}
			w.fillLabels(0)
			c.k.SoftmaxCrossEntropy(ce, nil, turned, turned, &w.labels, 0, &c.plan.losses[0])
		},
	}})
	c.plan.output = p
}

// channelRows writes the outputs of a network that is no classifier.
func (p *program) channelRows(dst []float32, pl *plan, n int) {
	shape := p.net.Output()
	size, pitch := shape.Size(), kernel.Padded(shape[len(shape)-1])
	for s := range n {
		unpad(dst[s*size:], pl.output.copy(s), shape, pitch)
	}
}

// solo takes worker w through all phases alone.
func (p *plan) solo(w *worker) {
	for _, ph := range p.phases {
		for g := range w.step.groups {
			for k := range ph.chain {
				t := &ph.chain[k]
				t.chunk(w, g, 0, t.chunks)
			}
		}
		for _, j := range ph.jobs {
			for _, t := range j.parts {
				t.run(w)
			}
		}
	}
}
