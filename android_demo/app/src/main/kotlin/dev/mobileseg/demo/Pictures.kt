package dev.mobileseg.demo

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import dev.mobileseg.core.DemoError
import java.io.IOException
import java.io.InputStream

private const val LARGEST_SIDE = 2048

private val QUARTER_TURNS =
    mapOf(
        ExifInterface.ORIENTATION_ROTATE_90 to 90f,
        ExifInterface.ORIENTATION_ROTATE_180 to 180f,
        ExifInterface.ORIENTATION_ROTATE_270 to 270f,
    )

/**
 * A picture that the user chose, upright, and no larger than a screen needs.
 *
 * @throws DemoError if it is not one, or cannot be read
 */
fun readPicture(
    resolver: ContentResolver,
    uri: Uri,
): Bitmap {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    resolver.read(uri) { BitmapFactory.decodeStream(it, null, bounds) }
    val options =
        BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inSampleSize =
                generateSequence(1) { 2 * it }.first { maxOf(bounds.outWidth, bounds.outHeight) / it <= LARGEST_SIDE }
        }
    val decoded =
        resolver.read(uri) { BitmapFactory.decodeStream(it, null, options) }
            ?: throw DemoError("This file is not a picture that Android can read. Choose a JPEG, PNG or WebP.")
    val orientation =
        resolver.read(uri) {
            ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
        }
    val turn = QUARTER_TURNS[orientation] ?: return decoded
    val matrix = Matrix().apply { setRotate(turn) }
    return Bitmap.createBitmap(decoded, 0, 0, decoded.width, decoded.height, matrix, true)
}

private fun <T> ContentResolver.read(
    uri: Uri,
    use: (InputStream) -> T,
): T =
    try {
        val stream = openInputStream(uri) ?: throw IOException("it is empty")
        stream.use(use)
    } catch (error: IOException) {
        throw DemoError("The picture cannot be read (${error.message}). Choose another.", error)
    } catch (error: SecurityException) {
        throw DemoError("The picture may not be read by this app. Choose it from the list of pictures.", error)
    }
