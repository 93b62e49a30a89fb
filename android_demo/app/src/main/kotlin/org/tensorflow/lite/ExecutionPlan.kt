package org.tensorflow.lite

/**
 * How many nodes the interpreter runs: operations, and one for each part that a delegate took.
 *
 * TensorFlow Lite knows it but keeps it to its own package; this file stands in it.
 */
internal fun planLength(interpreter: Interpreter): Int = interpreter.executionPlanLength
