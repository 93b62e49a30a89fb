package dev.mobileseg.demo

import dev.mobileseg.core.Delegate
import dev.mobileseg.core.Engine
import dev.mobileseg.core.EngineOptions
import dev.mobileseg.core.Taken
import dev.mobileseg.core.TensorInfo
import dev.mobileseg.core.countOperations
import dev.mobileseg.core.takenFrom
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.TensorFlowLite
import org.tensorflow.lite.planLength
import java.nio.ByteBuffer

/** TensorFlow Lite's interpreter and its delegate. LiteRT 1.x has the same classes under the same names. */
class TfliteEngine(
    private val model: ByteBuffer,
    private val options: EngineOptions,
) : Engine {
    private val log = RuntimeLog()
    private val delegate: NativeDelegate? = NativeDelegate.open(options.delegate)
    private val interpreter: Interpreter = orClose(delegate) { Interpreter(model, settings()) }

    override val input: TensorInfo
    override val output: TensorInfo
    override val version = "tflite" to TensorFlowLite.runtimeVersion()

    init {
        try {
            interpreter.allocateTensors()
            require(interpreter.inputTensorCount == 1 && interpreter.outputTensorCount == 1) {
                "it has ${interpreter.inputTensorCount} inputs and ${interpreter.outputTensorCount} outputs, " +
                    "this app runs models of one each"
            }
            input = describe(interpreter.getInputTensor(0))
            output = describe(interpreter.getOutputTensor(0))
        } catch (error: IllegalArgumentException) {
            close()
            throw error
        } catch (error: IllegalStateException) {
            close()
            throw error
        }
    }

    override val taken: Taken? by lazy {
        val operations = countOperations(model)
        if (options.delegate == Delegate.NONE) {
            Taken(0, operations, 0)
        } else {
            takenFrom(operations, planLength(interpreter), log.lines())
        }
    }

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) = interpreter.run(input, output)

    override fun close() {
        interpreter.close()
        delegate?.close()
    }

    /** XNNPACK only where it is asked for: what the GPU or NNAPI leaves runs on built-in kernels, and counts so. */
    private fun settings() =
        Interpreter
            .Options()
            .setNumThreads(options.threads)
            .setUseXNNPACK(options.delegate == Delegate.XNNPACK)
            .apply { delegate?.let { addDelegate(it.handle) } }
}

private inline fun <T> orClose(
    resource: AutoCloseable?,
    make: () -> T,
): T {
    var done = false
    try {
        return make().also { done = true }
    } finally {
        if (!done) resource?.close()
    }
}

private fun describe(tensor: Tensor) = TensorInfo(nameOf(tensor.dataType()), tensor.shape().toList(), tensor.numBytes())

private fun nameOf(type: DataType) = type.name.lowercase()
