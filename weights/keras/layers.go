package keras

import (
	"fmt"

	"gcnn/model"

	"gorgonia.org/tensor"
)

// layer appends a layer of the network.
func (k *writer) layer(node model.Node, in []string) error {
	add := func(class string, config object) { k.add(class, node.Name, node.Out, in, config) }
	switch l := node.Layer.(type) {
	case model.Conv2D:
		config := object{
			"kernel_size": size(l.KernelSize), "strides": size(l.Strides), "padding": l.Padding.String(), "dilation_rate": size(l.DilationRate),
			"activation": l.Activation.String(), "use_bias": !bool(l.NoBias), "trainable": !bool(l.Frozen),
		}
		if l.DepthMultiplier > 0 {
			config["depth_multiplier"] = l.DepthMultiplier
			initializer(config, "depthwise_initializer", l.Init)
			add("DepthwiseConv2D", config)
			return nil
		}
		config["filters"], config["groups"] = l.Filters, l.Groups
		initializer(config, "kernel_initializer", l.Init)
		add("Conv2D", config)
	case model.SeparableConv2D:
		config := object{
			"filters": l.Filters, "kernel_size": size(l.KernelSize), "strides": size(l.Strides), "padding": l.Padding.String(),
			"dilation_rate": size(l.DilationRate), "depth_multiplier": l.DepthMultiplier, "activation": l.Activation.String(),
			"use_bias": !bool(l.NoBias), "trainable": !bool(l.Frozen),
		}
		initializer(config, "depthwise_initializer", l.DepthwiseInit)
		initializer(config, "pointwise_initializer", l.PointwiseInit)
		add("SeparableConv2D", config)
	case model.MaxPool2D:
		add("MaxPooling2D", object{"pool_size": size(l.PoolSize), "strides": size(l.Strides), "padding": l.Padding.String()})
	case model.AveragePool2D:
		add("AveragePooling2D", object{"pool_size": size(l.PoolSize), "strides": size(l.Strides), "padding": l.Padding.String()})
	case model.GlobalMaxPool2D:
		add("GlobalMaxPooling2D", object{})
	case model.GlobalAveragePool2D:
		add("GlobalAveragePooling2D", object{})
	case model.Flatten:
		add("Flatten", object{})
	case model.Dense:
		config := object{
			"units": l.Units, "activation": l.Activation.String(), "use_bias": !bool(l.NoBias), "trainable": !bool(l.Frozen),
		}
		initializer(config, "kernel_initializer", l.Init)
		add("Dense", config)
	case model.Activation:
		switch {
		case l.Alpha == l.Func.DefaultAlpha():
			add("Activation", object{"activation": l.Func.String()})
		case l.Func == model.LeakyReLU:
			add("LeakyReLU", object{"negative_slope": l.Alpha})
		default:
			add("ELU", object{"alpha": l.Alpha})
		}
	case model.BatchNormalization:
		add("BatchNormalization", object{
			"axis": -1, "momentum": l.Momentum, "epsilon": l.Epsilon, "scale": !bool(l.NoScale), "center": !bool(l.NoCenter), "trainable": !bool(l.Frozen),
		})
	case model.Dropout:
		add("Dropout", object{"rate": l.Rate})
	case model.LocalResponseNormalization:
		k.lrn(l, node, in[0])
	case model.ZeroPadding2D:
		p := l.Padding
		add("ZeroPadding2D", object{"padding": [][]int{{p.Top, p.Bottom}, {p.Left, p.Right}}})
	case model.Add:
		add("Add", object{})
	case model.Concatenate:
		add("Concatenate", object{"axis": -1})
	default:
		return fmt.Errorf("export to Keras does not know the layer %s", node.Layer.Kind())
	}
	return nil
}

func size(s model.Size) []int { return []int{s.H, s.W} }

// initializer writes an initialiser that Keras has; whitening, which it lacks, stays Keras' default.
func initializer(config object, key string, i model.Initializer) {
	class := map[model.Initializer]string{
		model.GlorotUniform: "GlorotUniform", model.HeUniform: "HeUniform", model.Zeros: "Zeros", model.Ones: "Ones",
	}[i]
	if class != "" {
		config[key] = object{"module": "keras.initializers", "class_name": class, "config": object{}, "registered_name": nil}
	}
}

// lrn writes x·s^−beta, where s = bias + alpha/size·Σx² is a 1×1 convolution of x² whose kernel is a band of alpha/size.
func (k *writer) lrn(l model.LocalResponseNormalization, node model.Node, x string) {
	channels := node.Out[2]
	band := make([]float32, channels*channels)
	bias := make([]float32, channels)
	for to := range channels {
		bias[to] = l.Bias
		for from := max(0, to-l.Size/2); from < min(channels, to-l.Size/2+l.Size); from++ {
			band[from*channels+to] = l.Alpha / float32(l.Size)
		}
	}
	square := k.add("Multiply", k.name(node.Name+"_square"), node.Out, []string{x, x}, object{})
	sum := k.add("Conv2D", k.name(node.Name+"_sum"), node.Out, []string{square}, object{"filters": channels, "kernel_size": []int{1, 1}, "trainable": false})
	k.weights[sum+"/kernel"] = tensor.New(tensor.WithShape(1, 1, channels, channels), tensor.WithBacking(band))
	k.weights[sum+"/bias"] = tensor.New(tensor.WithShape(channels), tensor.WithBacking(bias))
	power := k.name(node.Name + "_power")
	k.shapes[power] = node.Out
	k.layers = append(k.layers, object{ // keras.ops.power(s, −beta)
		"module": "keras.src.ops.numpy", "class_name": "Power", "registered_name": "Power", "name": power, "config": object{"name": power},
		"inbound_nodes": []any{object{"args": []any{k.tensor(sum), -l.Beta}, "kwargs": object{}}},
	})
	k.add("Multiply", node.Name, node.Out, []string{x, power}, object{})
}
