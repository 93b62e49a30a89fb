package dev.mobileseg.core

import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates
import org.bytedeco.tensorflowlite.FlatBufferModelBase
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite
import java.nio.ByteBuffer

/** `BuiltinOperator_DELEGATE` of the TFLite schema. */
private const val DELEGATE_CODE = 51

/** TensorFlow Lite as Bytedeco builds it for desktops: the same runtime as on a phone, for tests on the JVM. */
class DesktopEngine(
    model: ByteBuffer,
    options: EngineOptions,
) : Engine {
    private val content = BytePointer(*ByteArray(model.limit()).also { model.duplicate().apply { clear() }.get(it) })
    private val graph =
        FlatBufferModelBase.VerifyAndBuildFromBuffer(content, content.capacity())
            ?: throw IllegalArgumentException("it is no TFLite model")
    private val interpreter = Interpreter(null as Pointer?)
    private val operations = countOperations(model)
    private val xnnpack = if (options.delegate == Delegate.XNNPACK) Xnnpack(options.threads) else null

    init {
        check(options.delegate.onCpu) { "this machine has no ${options.delegate.label}" }
        InterpreterBuilder(graph, BuiltinOpResolverWithoutDefaultDelegates()).use { builder ->
            check(builder.apply(interpreter, options.threads) == tensorflowlite.kTfLiteOk) { "it cannot be built" }
        }
        xnnpack?.let {
            check(
                interpreter.ModifyGraphWithDelegate(it.handle) == tensorflowlite.kTfLiteOk,
            ) { "no XNNPACK" }
        }
        check(interpreter.AllocateTensors() == tensorflowlite.kTfLiteOk) { "its tensors cannot be allocated" }
    }

    override val input = describe(interpreter.input_tensor(0))
    override val output = describe(interpreter.output_tensor(0))
    override val version = "tflite" to tensorflowlite.TfLiteVersion().string

    override val taken: Taken
        get() {
            val plan = interpreter.execution_plan()
            val codes = List(plan.limit().toInt()) { interpreter.node_and_registration(plan.get(it.toLong())).second() }
            val partitions = codes.count { it.builtin_code() == DELEGATE_CODE }
            val left = codes.size - partitions
            return Taken(operations - left, left, partitions)
        }

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        bytesOf(interpreter.input_tensor(0)).put(input)
        check(interpreter.Invoke() == tensorflowlite.kTfLiteOk) { "it cannot be run" }
        output.put(bytesOf(interpreter.output_tensor(0)))
    }

    override fun close() {
        interpreter.deallocate()
        xnnpack?.close()
        graph.deallocate()
        content.deallocate()
    }
}

private fun bytesOf(tensor: TfLiteTensor): ByteBuffer = tensor
    .data()
    .raw()
    .capacity(tensor.bytes())
    .asByteBuffer()

private fun describe(tensor: TfLiteTensor): TensorInfo {
    val shape = List(tensor.dims().size()) { tensor.dims().data(it) }
    return TensorInfo(nameOf(tensor.type()), shape, tensor.bytes().toInt())
}

private fun nameOf(type: Int) =
    when (type) {
        tensorflowlite.kTfLiteUInt8 -> "uint8"
        tensorflowlite.kTfLiteInt8 -> "int8"
        tensorflowlite.kTfLiteFloat32 -> "float32"
        tensorflowlite.kTfLiteInt32 -> "int32"
        tensorflowlite.kTfLiteInt64 -> "int64"
        else -> "type $type"
    }
